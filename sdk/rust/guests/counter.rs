//! counter: it answers each line with how many there were. Its state is the count, 4
//! bytes little-endian, and then the half line that is received: the same in every
//! language, so that a reload may go from one to another.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

#[derive(Default)]
struct Counter {
    lines: LineReceiver,
    count: u32,
}

impl Protocol for Counter {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some([&self.count.to_le_bytes(), self.lines.held()].concat())
    }

    fn restore_state(&mut self, _: Transport, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        if version != 1 || state.len() < 4 {
            return Err("no state of a counter".into());
        }
        let (count, half) = state.split_at(4);
        self.count = count.iter().rev().fold(0, |n, b| n << 8 | *b as u32);
        self.lines.set_held(half);
        Ok(())
    }
}

impl LineProtocol for Counter {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }

    fn line_received(&mut self, t: Transport, _: &[u8]) {
        self.count += 1;
        let mut digits = String::new();
        push_number(&mut digits, self.count);
        let _ = self.lines.send_line(t, digits.as_bytes());
    }
}

struct CounterFactory;

impl Factory for CounterFactory {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Counter::default()))
    }

    fn log_prefix(&self) -> &'static str {
        "counter"
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(CounterFactory)
}
