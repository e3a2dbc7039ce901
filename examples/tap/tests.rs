//! Tests of tap, natively: rustc --edition 2021 --test tap.rs && ./tap
use super::*;

/// A client's connection, and the one to the plugin behind, which is made.
fn pair(config: &str) -> (Transport, Transport) {
    let (client, behind) = begin(config);
    testing::made(behind);
    (client, behind)
}

fn begin(config: &str) -> (Transport, Transport) {
    testing::start(Tap(Settings { most: 0, hex: false }), config).unwrap();
    let client = testing::accept().unwrap();
    let behind = testing::outgoing().unwrap();
    assert_eq!(testing::endpoint(behind), "plugin://next");
    assert_eq!(client.state().unwrap() & state::PAUSED, state::PAUSED);
    (client, behind)
}

fn logged(want: &str) {
    let log = testing::log_lines();
    assert!(log.iter().any(|l| l == want), "found {:?}, wanted {:?}", log, want);
}

#[test]
fn passes_and_shows_both_directions() {
    let (client, behind) = pair("{}");
    assert_eq!(client.state().unwrap() & state::PAUSED, 0);
    testing::send(client, b"a\"\n\xff");
    testing::send(behind, b"answer");
    assert_eq!(testing::output(behind), b"a\"\n\xff");
    assert_eq!(testing::output(client), b"answer");
    logged("connection 1, client: 4 bytes: a\\\"\\n\\xff");
    logged("connection 1, server: 6 bytes: answer");
}

#[test]
fn shows_no_more_than_it_may() {
    for (config, want) in [
        (r#"{"bytes": 3}"#, "connection 1, client: 5 bytes: hel…"),
        (r#"{"bytes": 2, "hex": true}"#, "connection 1, client: 5 bytes: 68 65…"),
        (r#"{"bytes": 0}"#, "connection 1, client: 5 bytes: …"),
        (r#"{"bytes": 5}"#, "connection 1, client: 5 bytes: hello"),
    ] {
        let (client, behind) = pair(config);
        testing::send(client, b"hello");
        assert_eq!(testing::output(behind), b"hello");
        logged(want);
    }
    for config in [r#"{"bytes": "x"}"#, r#"{"byte": 1}"#] {
        assert!(testing::start(Tap(Settings { most: 0, hex: false }), config).is_err(), "{}", config);
    }
}

#[test]
fn passes_ends_on() {
    for client_first in [true, false] {
        let (client, behind) = pair("{}");
        let (first, second) = if client_first { (client, behind) } else { (behind, client) };
        testing::finish(first);
        assert!(!testing::ended(first) && !testing::ended(second));
        assert_eq!(second.state().unwrap() & state::WRITE_CLOSED, state::WRITE_CLOSED);
        testing::send(second, b"still");
        assert_eq!(testing::output(first), b"still");
        testing::finish(second);
        assert_eq!(first.state().unwrap() & state::WRITE_CLOSED, state::WRITE_CLOSED);
    }
}

/// Where one side takes no more, the other is not read.
#[test]
fn passes_back_pressure_on() {
    let (client, behind) = pair("{}");
    let settings = Settings { most: 0, hex: false };
    for (t, other) in [(client, behind), (behind, client)] {
        assert_eq!(t.state().unwrap() & state::PRODUCER, state::PRODUCER);
        let mut side = Side { settings, client: t == client, number: 1, other };
        side.pause_producing(t);
        assert_eq!((t.state().unwrap() & 1, other.state().unwrap() & 1), (0, state::PAUSED));
        side.resume_producing(t);
        assert_eq!(other.state().unwrap() & state::PAUSED, 0);
    }
}

/// A stream that was cut is not made to look whole.
#[test]
fn passes_losses_on() {
    for client_first in [true, false] {
        let (client, behind) = pair("{}");
        let (first, second) = if client_first { (client, behind) } else { (behind, client) };
        testing::lose(first, Reason::LOST);
        assert!(testing::ended(second));
    }
}

#[test]
fn ends_the_client_where_nobody_is_behind() {
    let (client, behind) = begin("{}");
    testing::failed(behind, Reason::REFUSED);
    testing::advance(0.0);
    assert!(testing::ended(client));
}

#[test]
fn moves() {
    let (client, _) = pair("{}");
    let moved = testing::reload(client, 1).unwrap();
    testing::send(moved, b"x");
    logged("connection 1, client: 1 bytes: x");
    assert!(Side { settings: Settings { most: 0, hex: false }, client: true, number: 1, other: moved }
        .restore_state(moved, 1, b"short")
        .is_err());
}
