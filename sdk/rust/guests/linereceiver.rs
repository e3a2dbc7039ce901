//! linereceiver: it writes back every line followed by the delimiter. See
//! plugins/linereceiver for its configuration and its state.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

struct Lines {
    lines: LineReceiver,
    may_raw: bool, // a line `raw N` is answered by the next N raw bytes
    raw: u64,      // raw bytes still to come
}

/// Reads a line `raw N`, N in decimal digits.
fn raw_count(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"raw ")?;
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |n, b| if b.is_ascii_digit() { Some(n * 10 + (b - b'0') as u64) } else { None })
}

impl Protocol for Lines {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        let mut state = Vec::new();
        self.lines.save_state(&mut state);
        push_leb(&mut state, self.raw);
        Some(state)
    }

    fn restore_state(&mut self, _: Transport, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        let raw = match version {
            1 => self.lines.restore_state(state).and_then(take_leb),
            _ => None,
        };
        match raw {
            Some((raw, [])) if self.lines.raw_mode() == (raw > 0) => {
                self.raw = raw;
                Ok(())
            }
            _ => Err("no state of a linereceiver".into()),
        }
    }
}

impl LineProtocol for Lines {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }

    fn line_received(&mut self, t: Transport, line: &[u8]) {
        match raw_count(line) {
            Some(n) if self.may_raw => {
                self.raw = n;
                if n > 0 {
                    self.lines.set_raw_mode();
                }
            }
            _ => drop(self.lines.send_line(t, line)),
        }
    }

    fn raw_data_received(&mut self, t: Transport, data: &[u8]) {
        let mine = self.raw.min(data.len() as u64) as usize;
        let _ = t.write(&data[..mine]);
        self.raw -= mine as u64;
        if self.raw == 0 {
            self.lines.set_line_mode(data.len() - mine);
        }
    }
}

#[derive(Default)]
struct LinesFactory {
    delimiter: String,
    max_length: i64,
    raw: bool,
}

impl Factory for LinesFactory {
    fn start(&mut self) -> std::result::Result<(), String> {
        let mut config = Config::read()?;
        self.delimiter = config.text("delimiter", "\r\n")?;
        self.max_length = config.integer("max_length", LineReceiver::MAX_LENGTH as i64)?;
        self.raw = config.boolean("raw", false)?;
        if self.delimiter.is_empty() || !(1..=1 << 30).contains(&self.max_length) {
            return Err("config: wanted a delimiter of one byte or more, and a max_length of 1 to 1073741824".into());
        }
        config.finish()
    }

    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        let lines = LineReceiver::new(self.delimiter.as_bytes(), self.max_length as usize);
        Some(Box::new(Lines { lines, may_raw: self.raw, raw: 0 }))
    }

    fn log_prefix(&self) -> &'static str {
        "linereceiver"
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(LinesFactory::default())
}
