//! echo: it writes back every byte.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        let _ = t.write(data); // what the server answers, connection_lost tells too
    }

    // It has no state of its own, so a reload moves it as it is.
    fn save_state(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn restore_state(&mut self, _: Transport, _: i32, _: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }
}

struct EchoFactory;

impl Factory for EchoFactory {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Echo))
    }

    fn log_prefix(&self) -> &'static str {
        "echo"
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(EchoFactory)
}
