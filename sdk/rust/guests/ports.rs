//! ports: lines. `listen ENDPOINT` opens a port, and is answered with where it is, or "refused";
//! `stop` closes it, and any other line is answered with "main". Who comes to a port, and each of
//! his lines, gets "passive". The factory's state is the port's handle, 4 bytes little-endian, 0 of
//! none; those of connections are empty.
#[path = "../wirehost.rs"]
mod wirehost;
use std::cell::Cell;
use std::rc::Rc;
use wirehost::*;

/// The factory and its connections share it.
type Shared = Rc<Cell<Option<Port>>>;

struct Words {
    lines: LineReceiver,
    greeting: &'static [u8], // of who comes to the port, also for each line; of others empty
    port: Shared,
}

fn words(greeting: &'static [u8], port: &Shared) -> Option<Box<dyn Protocol>> {
    Some(Box::new(Words { lines: LineReceiver::default(), greeting, port: port.clone() }))
}

fn passive(port: &Shared) -> impl Fn(Transport) -> Option<Box<dyn Protocol>> + 'static {
    let port = port.clone();
    move |_| words(b"passive", &port)
}

impl Words {
    fn listen(&mut self, endpoint: &[u8]) -> Result<String> {
        let port = Port::listen(&String::from_utf8_lossy(endpoint), passive(&self.port))?;
        self.port.set(Some(port));
        port.host()
    }
}

impl Protocol for Words {
    fn connection_made(&mut self, t: Transport) {
        if !self.greeting.is_empty() {
            let _ = self.lines.send_line(t, self.greeting);
        }
    }

    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn restore_state(&mut self, _: Transport, _: i32, state: &[u8]) -> std::result::Result<(), String> {
        if state.is_empty() {
            return Ok(());
        }
        Err("found a state, wanted none".into())
    }
}

impl LineProtocol for Words {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }

    fn line_received(&mut self, t: Transport, line: &[u8]) {
        if !self.greeting.is_empty() {
            return self.connection_made(t);
        }
        let answer = match line.strip_prefix(b"listen ") {
            Some(endpoint) => self.listen(endpoint).unwrap_or_else(|_| "refused".into()),
            None if line == b"stop" => match self.port.get().map(Port::stop_listening) {
                Some(Ok(())) => "stopped".into(),
                _ => "refused".into(),
            },
            None => "main".into(),
        };
        let _ = self.lines.send_line(t, answer.as_bytes());
    }
}

#[derive(Default)]
struct Ports {
    port: Shared,
}

impl Factory for Ports {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        words(b"", &self.port)
    }

    fn log_prefix(&self) -> &'static str {
        "ports"
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some(self.port.get().map_or(0, Port::handle).to_le_bytes().to_vec())
    }

    fn restore_state(&mut self, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        match (version, state) {
            (1, [0, 0, 0, 0]) => Ok(()),
            (1, &[a, b, c, d]) => {
                self.port.set(Some(Port::restore(i32::from_le_bytes([a, b, c, d]), passive(&self.port))));
                Ok(())
            }
            _ => Err("no state of a port".into()),
        }
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(Ports::default())
}
