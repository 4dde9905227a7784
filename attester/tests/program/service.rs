//! The service: what it tells its manager and its monitoring, and how it stops.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::place::Place;

/// The code and the body of an answer.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_manager_hears_when_it_is_ready_and_when_it_stops() {
    let place = Place::initialised();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut child = place
        .command(&["serve"])
        .env("NOTIFY_SOCKET", place.path("notify"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(heard(), "READY=1");
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let admin = ready.split("http://").nth(1).unwrap().split('/').next().unwrap();
    // Whoever was told that it is ready finds it so.
    assert_eq!(get(admin, "/readyz").0, 200);
    assert_eq!(get(admin, "/healthz").0, 200);
    let (code, metrics) = get(admin, "/metrics");
    assert_eq!(code, 200);
    for line in [
        "attester_ready{} 1",
        "attester_part_well{part=\"dns\"} 1",
        "attester_sessions{} 0",
    ] {
        assert!(metrics.lines().any(|written| written == line), "{line} in\n{metrics}");
    }
    let build = format!("attester_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&build), "{metrics}");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_manager_that_is_not_there_is_no_reason_not_to_serve() {
    let place = Place::initialised();
    let mut child = place
        .command(&["serve"])
        .env("NOTIFY_SOCKET", place.path("nobody"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert!(ready.starts_with("ready: "), "{ready}");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("NOTIFY_SOCKET"), "{log}");
}
