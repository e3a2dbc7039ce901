//! seed: it sends the seed of its instance and 16 random bytes, and closes.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

struct Seed([u8; 32]);

impl Protocol for Seed {
    fn connection_made(&mut self, t: Transport) {
        let _ = t.write(&self.0);
        let mut drawn = vec![0; 70000];
        if random(&mut drawn).is_err() || time() < 1.7e9 {
            panic!("no random bytes, or no time");
        }
        let _ = t.write(&drawn[drawn.len() - 16..]);
        let _ = t.lose_connection();
    }

    fn data_received(&mut self, _: Transport, _: &[u8]) {}
}

struct SeedFactory([u8; 32]);

impl Factory for SeedFactory {
    fn instance_made(&mut self, seed: [u8; 32]) {
        self.0 = seed;
    }

    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Seed(self.0)))
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(SeedFactory([0; 32]))
}
