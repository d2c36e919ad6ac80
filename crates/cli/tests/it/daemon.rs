//! The daemon from outside: the program itself, its API over real sockets, and `kill -9`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a busy machine may take for anything here.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn peerage(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PEERAGE_")) {
        command.env_remove(name);
    }
    command.env("PEERAGE_HOME", home).stdin(Stdio::null());
    command
}

/// Runs a command to its end: exit code, stdout, stderr.
fn run(home: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = peerage(home).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

pub(crate) struct Daemon {
    pub(crate) process: Child,
    home: PathBuf,
    ready: Value,
}

impl Daemon {
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_by(peerage(home))
    }

    /// Starts it by this command, which may carry settings already.
    pub(crate) fn start_by(mut command: Command) -> Self {
        let home =
            PathBuf::from(command.get_envs().find(|(name, _)| *name == "PEERAGE_HOME").unwrap().1.unwrap());
        let mut process = command
            .args(["daemon", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--json", "--dht", "off"])
            .args(["--allow-local", "--port-mapping", "off", "--set", "daemon.upload="])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|event| event["event"] == "daemon_ready")
            .expect("the daemon is ready");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, home, ready }
    }

    pub(crate) fn authority(&self) -> String {
        self.ready["api"].as_str().unwrap().trim_start_matches("http://").to_owned()
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.home.join("state/api-token")).unwrap().trim().to_owned()
    }

    /// Sends a request with these lines in its head: status, head and body.
    pub(crate) fn raw(&self, method: &str, path: &str, head: &[String], body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.authority()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        write!(stream, "{method} {path} HTTP/1.1\r\n{lines}{length}Connection: close\r\n\r\n{body}").unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, head.to_owned(), body.to_owned())
    }

    pub(crate) fn head(&self) -> Vec<String> {
        vec![
            format!("Host: {}", self.authority()),
            format!("Authorization: Bearer {}", self.token()),
            "Content-Type: application/json".to_owned(),
        ]
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, body) = self.raw(method, &format!("/api/v1{path}"), &self.head(), &body);
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub(crate) fn wait(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (_, value) = self.ask("GET", path, &Value::Null);
            if is(&value) {
                return value;
            }
            assert!(begun.elapsed() < LIMIT, "{path} stays {value}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn kill(mut self) -> PathBuf {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.home.clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn content(path: &Path, bytes: usize) {
    let mut state = 1u64;
    let data: Vec<u8> = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .collect();
    std::fs::write(path, data).unwrap();
}

#[test]
fn a_file_goes_from_one_daemon_to_another_and_both_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Daemon::start(&dir.path().join("a")), Daemon::start(&dir.path().join("b")));
    let file = dir.path().join("film.bin");
    content(&file, 3_000_000);
    let (status, job) = a.ask("POST", "/shares", &json!({ "paths": [file] }));
    assert_eq!(status, 202, "{job}");
    let job = a.wait(&format!("/jobs/{}", job["id"].as_str().unwrap()), |job| job["state"] != "running");
    assert_eq!(job["state"], "done", "{job}");
    let id = job["transfer"].as_str().unwrap().to_owned();
    let shared = a.wait(&format!("/transfers/{id}"), |shown| shown["state"] == "seeding");

    let into = dir.path().join("got");
    let add = json!({ "link": shared["link"], "folder": into, "category": "films", "tags": ["x"] });
    let (status, added) = b.ask("POST", "/transfers", &add);
    assert_eq!(status, 201, "{added}");
    let got = b.wait(&format!("/transfers/{id}"), |shown| shown["complete"] == true);
    assert_eq!(std::fs::read(into.join("film.bin")).unwrap(), std::fs::read(&file).unwrap());
    assert_eq!((got["done"].as_u64(), got["state"].as_str()), (Some(3_000_000), Some("seeding")));
    let (status, again) = b.ask("POST", "/transfers", &add);
    assert_eq!((status, again["transfer"].as_str()), (409, Some(id.as_str())));
    let (_, files) = b.ask("GET", &format!("/transfers/{id}/files"), &Value::Null);
    assert_eq!(files["files"][0]["done"], 3_000_000);

    let (status, _) = b.ask("POST", &format!("/transfers/{id}/pause"), &json!({}));
    assert_eq!(status, 200);
    let (a, b) = (Daemon::start(&a.kill()), Daemon::start(&b.kill()));
    let shown = b.wait(&format!("/transfers/{id}"), |shown| shown["name"] == "film.bin");
    assert_eq!((shown["state"].as_str(), shown["category"].as_str()), (Some("paused"), Some("films")));
    a.wait(&format!("/transfers/{id}"), |shown| shown["state"] == "seeding");
    b.ask("POST", &format!("/transfers/{id}/resume"), &Value::Null);
    b.wait(&format!("/transfers/{id}"), |shown| shown["state"] == "seeding");

    let (status, _) = a.ask("DELETE", &format!("/transfers/{id}?data=true"), &Value::Null);
    assert_eq!(status, 409, "a share's files are the user's own");
    let (status, _) = b.ask("DELETE", &format!("/transfers/{id}?data=true"), &Value::Null);
    assert_eq!(status, 204);
    b.wait("/transfers", |list| list["total"] == 0);
    assert!(file.exists() && !into.join("film.bin").exists());
}

#[test]
fn a_second_daemon_is_refused_and_commands_say_where_none_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, text) = run(dir.path(), &["status"]);
    assert_eq!(code, 13, "{text}");
    assert!(text.contains("peerage daemon"), "{text}");
    let daemon = Daemon::start(dir.path());
    let (code, _, text) = run(dir.path(), &["daemon", "--listen", "127.0.0.1:0", "--dht", "off"]);
    assert_eq!(code, 14, "{text}");
    assert!(text.contains(&format!("pid {}", daemon.process.id())), "{text}");
    let (code, _, text) = run(&dir.path().join("other"), &["daemon", "--api", "0.0.0.0:0", "--dht", "off"]);
    assert_eq!(code, 2, "{text}");
    let (code, text, _) = run(dir.path(), &["status", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["pid"], daemon.process.id());
}

#[test]
fn share_and_get_hand_over_to_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let (_first, _second) = (Daemon::start(&a), Daemon::start(&b));
    let file = dir.path().join("song.bin");
    content(&file, 200_000);
    let (code, link, text) = run(&a, &["share", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("handed over"), "{text}");
    let into = dir.path().join("got");
    let (code, path, text) = run(&b, &["get", link.trim(), "-o", into.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(Path::new(path.trim()), into.join("song.bin"));
    assert_eq!(std::fs::read(into.join("song.bin")).unwrap(), std::fs::read(&file).unwrap());
    let (code, text, _) = run(&b, &["ls"]);
    assert!(code == 0 && text.contains("song.bin"), "{text}");
    assert_eq!(run(&b, &["pause", "song.bin", "2h"]).0, 0);
    let (_, text, _) = run(&b, &["ls", "--json"]);
    assert!(serde_json::from_str::<Value>(&text).unwrap()["transfers"][0]["paused_until"].is_u64(), "{text}");
    assert_eq!(run(&b, &["rm", "song.bin"]).0, 0);
    assert_eq!(run(&b, &["rm", "song.bin"]).0, 5);
    assert!(into.join("song.bin").exists());
}

/// Threats H1, H2, H3 and H5: other names, other sites, no token, guesses.
#[test]
fn strangers_are_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let (host, token) = (daemon.authority(), daemon.token());
    let own = format!("Host: {host}");
    let bearer = format!("Authorization: Bearer {token}");
    let status = |method: &str, path: &str, head: &[&str], body: &str| {
        let head: Vec<String> = head.iter().map(|line| (*line).to_owned()).collect();
        daemon.raw(method, path, &head, body).0
    };
    let json = "Content-Type: application/json";
    assert_eq!(status("GET", "/api/v1/status", &[&own, &bearer], ""), 200);
    assert_eq!(status("GET", "/healthz", &[&own], ""), 200);
    for path in
        ["/api/v1/status", "/api/v1/transfers", "/api/v1/events", "/api/v1/tokens", "/metrics", "/stream/a/0"]
    {
        assert_eq!(status("GET", path, &[&own], ""), 401, "{path}");
    }
    // Names that are not ours: rebinding.
    for name in [
        "evil.example",
        "evil.example:80",
        "",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "169.254.169.254",
        "[::2]",
    ] {
        for path in ["/", "/healthz", "/api/v1/status", "/openapi.json"] {
            assert_eq!(status("GET", path, &[&format!("Host: {name}"), &bearer], ""), 421, "{name} {path}");
        }
    }
    // Other sites.
    for head in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        for (method, path) in
            [("GET", "/api/v1/status"), ("POST", "/api/v1/pause"), ("DELETE", "/api/v1/tokens/first")]
        {
            assert_eq!(status(method, path, &[&own, &bearer, json, head], ""), 403, "{head} {method} {path}");
        }
    }
    // What a form can send is no JSON.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let kind = format!("Content-Type: {kind}");
        assert_eq!(status("POST", "/api/v1/pause", &[&own, &bearer, &kind], "{}"), 415, "{kind}");
    }
    assert_eq!(status("POST", "/api/v1/pause", &[&own, &bearer, json], &"[".repeat(100_000)), 400);
    assert_eq!(status("POST", "/api/v1/pause", &[&own, &bearer, json, "Content-Length: 99999999"], ""), 413);
    // A session counts with its own word alone.
    let (code, head, body) = daemon.raw(
        "POST",
        "/api/v1/session",
        &[own.clone(), json.to_owned()],
        &json!({ "token": daemon.ready["login"].as_str().unwrap().rsplit('=').next().unwrap() }).to_string(),
    );
    assert_eq!(code, 200, "{body}");
    assert!(head.contains("HttpOnly; SameSite=Strict"), "{head}");
    let cookie = head.lines().find(|line| line.starts_with("set-cookie")).unwrap();
    let cookie = format!("Cookie: {}", cookie.split([' ', ';']).nth(1).unwrap());
    let csrf = serde_json::from_str::<Value>(&body).unwrap()["csrf_token"].as_str().unwrap().to_owned();
    assert_eq!(status("GET", "/api/v1/status", &[&own, &cookie], ""), 200);
    assert_eq!(status("POST", "/api/v1/resume", &[&own, &cookie, json], ""), 403);
    assert_eq!(status("POST", "/api/v1/resume", &[&own, &cookie, json, "X-Csrf-Token: x"], ""), 403);
    assert_eq!(
        status("POST", "/api/v1/resume", &[&own, &cookie, json, &format!("X-Csrf-Token: {csrf}")], ""),
        204
    );
    // Scopes.
    let (_, made) = daemon.ask("POST", "/tokens", &json!({ "name": "reader", "scope": "read" }));
    let reader = format!("Authorization: Bearer {}", made["secret"].as_str().unwrap());
    assert_eq!(status("GET", "/api/v1/status", &[&own, &reader], ""), 200);
    assert_eq!(status("POST", "/api/v1/resume", &[&own, &reader, json], ""), 403);
    assert_eq!(status("GET", "/api/v1/tokens", &[&own, &reader], ""), 403);
    let (code, _) = daemon.ask("DELETE", &format!("/tokens/{}", made["id"].as_str().unwrap()), &Value::Null);
    assert_eq!(code, 204);
    assert_eq!(status("GET", "/api/v1/status", &[&own, &reader], ""), 401);
    // Each answer forbids what it may.
    for path in ["/", "/docs", "/openapi.json", "/nothing", "/api/v1/status"] {
        let (_, head, _) = daemon.raw("GET", path, &[own.clone(), bearer.clone()], "");
        for part in ["x-content-type-options: nosniff", "frame-ancestors 'none'", "x-api-version: 1"] {
            assert!(head.contains(part), "{path}: {head}");
        }
        assert!(!head.contains("access-control-allow-origin"), "{path}");
    }
    // Guessing: locked out, also with the right one; the socket goes on.
    let guesses: Vec<u16> = (0..30)
        .map(|n| status("GET", "/api/v1/status", &[&own, &format!("Authorization: Bearer {n}")], ""))
        .collect();
    assert!(guesses.starts_with(&[401]) && guesses.ends_with(&[429, 429]), "{guesses:?}");
    assert_eq!(status("GET", "/api/v1/status", &[&own, &bearer], ""), 429);
    assert_eq!(run(dir.path(), &["status"]).0, 0);
}
