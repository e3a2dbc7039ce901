//! layers: lines, each answered: `state` with the transport's bits, `who` with peer, host, ALPN and
//! the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
//! `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
//! `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
//! `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
//! with who has that name, and "secure" is told. What can't be done is answered with "refused". The
//! state is the handle of the other connection, 4 bytes little-endian, 0 of none.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

fn say(t: Transport, line: &str) -> Result<()> {
    t.write(line.as_bytes())?;
    t.write(b"\r\n")
}

type Restored<T> = std::result::Result<T, String>;

/// The other connection, of a state.
fn other(version: i32, state: &[u8]) -> Restored<Transport> {
    match (version, state) {
        (1, &[a, b, c, d]) => Ok(Transport::restore(i32::from_le_bytes([a, b, c, d]))),
        _ => Err("no state of a connection".into()),
    }
}

/// An accepted connection.
struct Front {
    lines: LineReceiver,
    other: Transport,
}

impl Front {
    fn new() -> Box<Front> {
        Box::new(Front { lines: LineReceiver::default(), other: Transport::restore(0) })
    }

    fn does(&mut self, t: Transport, word: &str, rest: &str) -> Result<()> {
        match word {
            "state" => say(t, &t.state()?.to_string()),
            "who" => {
                let sum: u64 = t.peer_certificate()?.iter().map(|&b| u64::from(b)).sum();
                say(t, &format!("{} {} {} {}", t.peer()?, t.host()?, t.negotiated_protocol()?, sum))
            }
            "time" => say(t, &(time() as u64).to_string()),
            "random" => {
                let mut b = vec![0; rest.parse().unwrap_or(0)];
                random(&mut b)?;
                t.write(&b)
            }
            "over" => t.hand_over(rest, b"who\r\n"),
            "connect" => {
                self.other = connect(rest, 0, Back::new(t))?;
                Ok(())
            }
            "as" => {
                self.other = connect_as(t, rest, 0, Back::new(t))?;
                Ok(())
            }
            ">" => say(self.other, rest),
            _ => Err(Status::INVALID),
        }
    }
}

impl Protocol for Front {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn connection_lost(&mut self, _: Transport, _: Reason) {
        let _ = self.other.lose_connection();
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some(self.other.handle().to_le_bytes().to_vec())
    }

    fn restore_state(&mut self, _: Transport, version: i32, state: &[u8]) -> Restored<()> {
        self.other = other(version, state)?;
        Ok(())
    }
}

impl LineProtocol for Front {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }

    fn line_received(&mut self, t: Transport, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        if self.does(t, word, rest).is_err() {
            let _ = say(t, "refused");
        }
    }
}

/// One that was made.
struct Back {
    lines: LineReceiver,
    other: Transport,
}

impl Back {
    fn new(other: Transport) -> Box<Back> {
        Box::new(Back { lines: LineReceiver::default(), other })
    }

    fn ended(&mut self, t: Transport, how: &str, why: Reason) {
        let text = t.reason_text().unwrap_or_default();
        let _ = say(self.other, &format!("{} {} {}", how, why.0, text));
    }
}

impl Protocol for Back {
    fn connection_made(&mut self, _: Transport) {
        let _ = say(self.other, "made");
    }

    fn handshake_completed(&mut self, _: Transport) {
        let _ = say(self.other, "secure");
    }

    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn connection_lost(&mut self, t: Transport, why: Reason) {
        self.ended(t, "lost", why);
    }

    fn client_connection_failed(&mut self, t: Transport, why: Reason) {
        self.ended(t, "failed", why);
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some(self.other.handle().to_le_bytes().to_vec())
    }

    fn restore_state(&mut self, _: Transport, version: i32, state: &[u8]) -> Restored<()> {
        self.other = other(version, state)?;
        Ok(())
    }
}

impl LineProtocol for Back {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }

    fn line_received(&mut self, t: Transport, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let _ = match text.strip_prefix("go ") {
            Some(name) => t.start_tls_client(name).or_else(|_| say(self.other, "refused")),
            None => say(self.other, &text),
        };
    }
}

struct Layers;

impl Factory for Layers {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Front::new())
    }

    fn build_client_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Back::new(Transport::restore(0)))
    }

    fn log_prefix(&self) -> &'static str {
        "layers"
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(Layers)
}
