//! starttls: it writes back every line, and begins TLS after "tls", after the raw bytes
//! "tls" that follow "raw", and a moment after "pause".
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

#[derive(Default)]
struct Lines(LineReceiver);

impl Lines {
    fn begin(&self, t: Transport) {
        let _ = self.0.send_line(t, b"go");
        let _ = t.start_tls();
    }
}

impl Protocol for Lines {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }

    fn delayed_call(&mut self, t: Transport, _: Timer) {
        self.begin(t);
    }

    fn handshake_completed(&mut self, t: Transport) {
        let _ = self.0.send_line(t, b"up");
        let _ = LineReceiver::resume_producing(self, t);
    }
}

impl LineProtocol for Lines {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.0
    }

    fn line_received(&mut self, t: Transport, line: &[u8]) {
        match line {
            b"tls" => self.begin(t),
            b"raw" => self.0.set_raw_mode(),
            b"pause" => {
                let _ = self.0.pause_producing(t);
                let _ = t.call_later(1);
            }
            _ => {
                let _ = self.0.send_line(t, line);
            }
        }
    }

    fn raw_data_received(&mut self, t: Transport, data: &[u8]) {
        self.begin(t);
        self.0.set_line_mode(data.len() - 3);
    }
}

struct LinesFactory;

impl Factory for LinesFactory {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Lines::default()))
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(LinesFactory)
}
