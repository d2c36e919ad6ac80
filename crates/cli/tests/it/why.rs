//! `peerage why`, seen from outside: the program, and peers and trackers on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Nobody has it.
const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn peerage(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    command.args(["--json", "--home"]).arg(home.path());
    for (name, value) in [("LISTEN", "127.0.0.1:0"), ("PORT_MAPPING", "off"), ("DHT", "off")] {
        command.env(format!("PEERAGE_{name}"), value);
    }
    command
}

/// The exit code and the report of `peerage why`.
fn why(arguments: &[&str]) -> (i32, Value) {
    let home = tempfile::tempdir().unwrap();
    let done = peerage(&home).arg("why").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap(), report)
}

/// A running `peerage share`, and what it is known by.
struct Share {
    child: Child,
    _home: TempDir,
    link: String,
}

impl Share {
    fn of(text: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file.txt");
        std::fs::write(&file, text.repeat(20_000)).unwrap();
        let mut child = peerage(&home).arg("share").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = std::iter::from_fn(|| lines.next()?.ok())
            .map(|line| serde_json::from_str::<Value>(&line).unwrap())
            .find(|event| event["event"] == "ready");
        let link = ready.unwrap()["link"].as_str().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, _home: home, link }
    }

    /// A parameter of its link.
    fn part(&self, name: &str) -> &str {
        self.link.split(['?', '&']).find_map(|part| part.strip_prefix(name)).unwrap()
    }

    fn hash(&self) -> &str {
        self.part("xt=urn:btih:")
    }

    fn addr(&self) -> &str {
        self.part("x.pe=")
    }

    fn key(&self) -> &str {
        self.part("x.pg=").split(',').next().unwrap()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves each connection in turn, for as long as the test runs.
fn serve(act: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(act));
    addr
}

/// A port where nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn attempts(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attempts =
        report["peers"].as_array().unwrap().iter().flat_map(|peer| peer["attempts"].as_array().unwrap());
    let attempt = |attempt: &Value| {
        (text(&attempt["road"]["kind"]), text(&attempt["result"]), text(&attempt["obstacle"]))
    };
    attempts.map(attempt).collect()
}

fn has(report: &Value, road: &str, result: &str, obstacle: &str) -> bool {
    attempts(report).contains(&(road.to_owned(), result.to_owned(), obstacle.to_owned()))
}

#[test]
fn a_share_that_works_is_met_and_nothing_is_fetched_from_it() {
    let share = Share::of("works");
    let (code, report) = why(&[&share.link]);
    assert_eq!((code, &report["verdict"]["code"]), (0, &Value::from("OK")), "{report:#}");
    assert!(has(&report, "tls", "up", ""), "{report:#}");
    let met = &report["peers"][0]["met"];
    assert_eq!((&met["pieces"], &met["chokes"]), (&report["pieces"], &Value::from(false)), "{report:#}");
    assert_eq!(met["downloaded"], 0);
    assert_eq!(report["peers"][0]["sources"], Value::from(vec!["link"]));
    assert!(report["seconds"].as_f64().unwrap() < 10.0);
}

#[test]
fn who_refuses_is_told_from_who_says_nothing() {
    let refused = closed_port().to_string();
    let (code, report) = why(&[HASH, "--peer", &refused]);
    assert!(has(&report, "tcp", "failed", "refused"), "{report:#}");
    assert!(has(&report, "utp", "failed", "no_answer"), "{report:#}");
    assert_eq!((code, &report["verdict"]["code"]), (6, &Value::from("E_UNREACHABLE")));
    assert!(report["verdict"]["message"].as_str().unwrap().contains("refused the connection"));

    let mute = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new()))).to_string();
    let (code, report) = why(&[HASH, "--peer", &mute, "--utp", "off", "--timeout", "2s"]);
    assert!(has(&report, "tcp", "open", "mute"), "{report:#}");
    assert_eq!(code, 6);
    assert!(report["verdict"]["message"].as_str().unwrap().contains("said nothing"), "{report:#}");
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((1.9..4.0).contains(&seconds), "it ends in time: {seconds}");
}

#[test]
fn a_peer_that_has_another_torrent_is_told() {
    // Ours closes before its handshake; others answer with their own.
    let share = Share::of("other");
    let (code, report) = why(&[HASH, "--peer", share.addr()]);
    assert!(has(&report, "tcp", "failed", "hung_up"), "{report:#}");
    assert_eq!((code, &report["verdict"]["code"]), (5, &Value::from("E_NO_PROVIDERS")));
    let other = serve(|mut stream| {
        let mut handshake = [0; 68];
        if stream.read_exact(&mut handshake).is_ok() {
            handshake[28..].fill(7);
            let _ = stream.write_all(&handshake);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let (code, report) = why(&[HASH, "--peer", &other.to_string(), "--utp", "off", "--encryption", "off"]);
    assert!(has(&report, "tcp", "failed", "other_torrent"), "{report:#}");
    assert_eq!(code, 5);
    assert!(report["verdict"]["message"].as_str().unwrap().contains("another torrent"), "{report:#}");
}

#[test]
fn who_has_another_key_than_the_link_says_is_told() {
    let (share, other) = (Share::of("one"), Share::of("two"));
    let link = format!("magnet:?xt=urn:btih:{}&x.pg={},tcp/{}", share.hash(), other.key(), share.addr());
    let (code, report) = why(&[&link]);
    assert!(has(&report, "tls", "failed", "other_peer"), "{report:#}");
    let reason = report["peers"][0]["attempts"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, format!("another peer answers there: {}", share.key()));
    assert_eq!((code, attempts(&report).len()), (6, 1), "and no other road is taken: {report:#}");
}

#[test]
fn trackers_are_heard_and_what_they_say_is_told() {
    let answer = |body: &'static str| {
        serve(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        })
    };
    let url = |addr: SocketAddr| format!("http://{addr}/announce");
    let refusing = url(answer("d14:failure reason11:not\x1bwelcomee"));
    let (code, report) = why(&[HASH, "--tracker", &refusing, "--allow-local"]);
    assert_eq!((code, &report["verdict"]["code"]), (6, &Value::from("E_TRACKER")), "{report:#}");
    let error = report["sources"][1]["error"].as_str().unwrap();
    assert!(error.contains("welcome") && !error.contains('\x1b'), "{error:?}");
    let empty = url(answer("d8:intervali1800e5:peers0:e"));
    let (code, report) = why(&[HASH, "--tracker", &empty, "--tracker", &refusing, "--allow-local"]);
    assert_eq!((code, &report["sources"][1]["peers"]), (5, &Value::from(0)), "{report:#}");
    // What a tracker names is dialled, where its range may be.
    let naming = url(answer("d8:intervali1800e5:peers6:\x7f\0\0\x01\0\x09e"));
    let (code, report) = why(&[HASH, "--tracker", &naming, "--allow-local"]);
    assert_eq!((code, &report["peers"][0]["sources"]), (6, &Value::from(vec!["tracker"])), "{report:#}");
    assert!(has(&report, "tcp", "failed", "refused"), "{report:#}");
}

#[test]
fn a_link_that_names_nobody_ends_at_once() {
    let (code, report) = why(&[HASH]);
    assert_eq!((code, &report["verdict"]["code"]), (5, &Value::from("E_NO_PROVIDERS")));
    assert!(report["verdict"]["message"].as_str().unwrap().contains("names no peer and no tracker"));
    assert!(report["seconds"].as_f64().unwrap() < 3.0);
}
