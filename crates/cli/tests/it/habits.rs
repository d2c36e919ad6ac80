//! What a daemon does by itself: watches a folder, runs a program, keeps other limits, speaks to the service manager
//! and to a monitoring system.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::daemon::{Daemon, LIMIT, content, peerage};

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < LIMIT, "{} does not come", path.display());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Shares a file from `a`; its link.
fn share(a: &Daemon, file: &Path) -> String {
    let (_, job) = a.ask("POST", "/shares", &json!({ "paths": [file] }));
    let job = a.wait(&format!("/jobs/{}", job["id"].as_str().unwrap()), |job| job["state"] != "running");
    let (_, shown) = a.ask("GET", &format!("/transfers/{}", job["transfer"].as_str().unwrap()), &Value::Null);
    shown["link"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_put_into_the_watch_folder_is_fetched_and_a_program_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (watch, told) = (dir.path().join("watch"), dir.path().join("told"));
    std::fs::create_dir(&watch).unwrap();
    let program = dir.path().join("program");
    let text = format!(
        "#!/bin/sh\nprintf '%s %s %s' \"$PEERAGE_NAME\" \"$PEERAGE_PATH\" \"$PEERAGE_BYTES\" > {0}.new && mv {0}.new {0}\n",
        told.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let a = Daemon::start(&dir.path().join("a"));
    let mut command = peerage(&dir.path().join("b"));
    command.env("PEERAGE_DAEMON__WATCH", &watch).env("PEERAGE_DAEMON__ON_COMPLETE", &program);
    command.env("PEERAGE_GET__FOLDER", dir.path().join("got"));
    let b = Daemon::start_by(command);
    let file = dir.path().join("film $(touch x).bin");
    content(&file, 300_000);
    std::fs::write(watch.join("one.magnet"), share(&a, &file) + "\n").unwrap();
    std::fs::write(watch.join("bad.torrent"), "this is no torrent").unwrap();
    std::fs::write(watch.join("note.txt"), "not ours").unwrap();
    std::os::unix::fs::symlink("/dev/zero", watch.join("endless.torrent")).unwrap();
    wait_for(&watch.join("one.magnet.added"));
    wait_for(&watch.join("bad.torrent.failed"));
    wait_for(&told);
    let got = dir.path().join("got").join(file.file_name().unwrap());
    assert_eq!(
        std::fs::read_to_string(&told).unwrap(),
        format!("film $(touch x).bin {} 300000", got.display()),
        "name, path and size"
    );
    assert_eq!(std::fs::read(got).unwrap(), std::fs::read(&file).unwrap());
    assert!(watch.join("note.txt").exists() && watch.join("endless.torrent").symlink_metadata().is_ok());
    let status = b.wait("/status", |status| !status["warnings"].as_array().unwrap().is_empty());
    assert!(status["warnings"][0].as_str().unwrap().contains("bad.torrent cannot be added"), "{status}");
    // The same once more is no failure, and no second transfer.
    std::fs::copy(watch.join("one.magnet.added"), watch.join("two.magnet")).unwrap();
    wait_for(&watch.join("two.magnet.added"));
    assert_eq!(b.ask("GET", "/transfers", &Value::Null).1["total"], 1);
}

#[test]
fn other_limits_are_in_force_by_hand_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = peerage(dir.path());
        command.env("PEERAGE_ALTERNATIVE__UPLOAD", "100kB/s");
        Daemon::start_by(command)
    };
    let daemon = start();
    let (_, limits) = daemon.ask("GET", "/limits", &Value::Null);
    assert_eq!(limits["in_force"], "normal");
    let (status, limits) = daemon.ask("PATCH", "/limits", &json!({ "alternative": true }));
    assert_eq!((status, limits["in_force"].as_str()), (200, Some("alternative")));
    let of = |limits: &Value, key: &str| {
        let found = limits["limits"].as_array().unwrap().iter().find(|limit| limit["key"] == key);
        found.unwrap()["limit"].clone()
    };
    assert_eq!(of(&limits, "alternative.upload"), 100_000);
    drop(daemon);
    let daemon = start();
    let status = daemon.wait("/status", |status| status["pid"].as_u64().is_some_and(|pid| pid > 0));
    assert_eq!(status["alternative_limits"], true);
    let (_, limits) = daemon.ask("PATCH", "/limits", &json!({ "alternative": false }));
    assert_eq!(limits["in_force"], "normal");
}

#[test]
fn the_service_manager_hears_that_it_serves_is_alive_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = peerage(dir.path());
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::start_by(command);
    let hear = || {
        let mut bytes = [0; 4096];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).trim().to_owned()
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&daemon.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let last = std::iter::repeat_with(hear).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(daemon.process.wait().unwrap().success());
}

#[test]
fn metrics_are_told_to_those_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let host = [format!("Host: {}", daemon.authority())];
    assert_eq!(daemon.raw("GET", "/metrics", &host, "").0, 401);
    assert_eq!(daemon.raw("GET", "/nothing/12345", &daemon.head(), "").0, 404);
    let (status, head, body) = daemon.raw("GET", "/metrics", &daemon.head(), "");
    assert!(
        status == 200
            && head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.contains("peerage_transfers{state=\"seeding\"} 0\n"), "{body}");
    assert!(body.contains("route=\"/metrics\",method=\"GET\",status=\"401\"} 1"), "{body}");
    assert!(!body.contains("12345"), "paths that somebody made up are no labels");
}
