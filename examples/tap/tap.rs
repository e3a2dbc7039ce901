//! tap stands in front of any plugin, and writes what passes in both directions to the
//! server's log.
#[path = "../../sdk/rust/wirehost.rs"]
mod wirehost;
use wirehost::*;

/// The plugin's config section.
#[derive(Clone, Copy)]
struct Settings {
    most: usize, // bytes of a piece that are shown
    hex: bool,
}

/// One of the two connections of a pair: the client's, or the one to the plugin behind.
struct Side {
    settings: Settings,
    client: bool,
    number: i32, // of the client's connection, by which the log names the pair
    other: Transport,
}

impl Side {
    fn log(&self, level: Level, what: &str) {
        let mut text = String::from("connection ");
        push_number(&mut text, self.number as u32);
        text.push_str(if self.client { ", client: " } else { ", server: " });
        text.push_str(what);
        let _ = log(level, &text); // where even that fails nobody is left to tell
    }

    fn show(&self, data: &[u8]) {
        let mut text = String::new();
        push_number(&mut text, data.len() as u32);
        text.push_str(" bytes: ");
        let shown = &data[..data.len().min(self.settings.most)];
        if self.settings.hex {
            for (i, b) in shown.iter().enumerate() {
                text.push_str(if i > 0 { " " } else { "" });
                text.extend([b >> 4, b & 15].map(|d| char::from_digit(d.into(), 16).unwrap_or('?')));
            }
        } else {
            text.extend(shown.iter().flat_map(|b| std::ascii::escape_default(*b)).map(char::from));
        }
        text.push_str(if shown.len() < data.len() { "…" } else { "" });
        self.log(Level::Info, &text);
    }

    /// Whose output each is: where one side takes no more, the other is not read.
    fn join(&self, t: Transport) -> Result<()> {
        t.register_producer(true)?;
        self.other.register_producer(true)?;
        self.other.resume_producing()
    }

    fn connect(&mut self, t: Transport) -> Result<()> {
        t.pause_producing()?; // until there is somebody to pass it on to
        let behind = Side { client: false, other: t, ..*self };
        self.other = connect_as(t, "plugin://next", 0, Box::new(behind))?;
        Ok(())
    }
}

// A call whose error is dropped fails where that connection has ended, which
// connection_lost tells.
impl Protocol for Side {
    fn connection_made(&mut self, t: Transport) {
        let begun = if self.client { self.connect(t) } else { self.join(t) };
        if let Err(status) = begun {
            self.log(Level::Error, status.text());
            let _ = t.abort_connection();
        }
    }

    fn data_received(&mut self, _: Transport, data: &[u8]) {
        self.show(data);
        let _ = self.other.write(data);
    }

    fn pause_producing(&mut self, _: Transport) {
        let _ = self.other.pause_producing();
    }

    fn resume_producing(&mut self, _: Transport) {
        let _ = self.other.resume_producing();
    }

    /// The end of one direction is passed on; closing would wait for the producer.
    fn read_connection_lost(&mut self, _: Transport) {
        self.log(Level::Info, "has sent all");
        let _ = self.other.unregister_producer();
        let _ = self.other.lose_write_connection();
    }

    /// A stream that was cut must not look whole.
    fn connection_lost(&mut self, t: Transport, why: Reason) {
        self.log(Level::Info, &t.reason_text().unwrap_or_default());
        let _ = self.other.unregister_producer();
        let _ = if why == Reason::DONE { self.other.lose_connection() } else { self.other.abort_connection() };
    }

    fn client_connection_failed(&mut self, t: Transport, why: Reason) {
        self.connection_lost(t, why)
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some([self.number, self.other.handle()].iter().flat_map(|n| n.to_le_bytes()).collect())
    }

    fn restore_state(&mut self, _: Transport, _: i32, state: &[u8]) -> std::result::Result<(), String> {
        let state = <[u8; 8]>::try_from(state).map_err(|_| "no state of a tap")?;
        let [a, b, c, d, e, f, g, h] = state;
        self.number = i32::from_le_bytes([a, b, c, d]);
        self.other = Transport::restore(i32::from_le_bytes([e, f, g, h]));
        Ok(())
    }
}

struct Tap(Settings);

impl Factory for Tap {
    fn start(&mut self) -> std::result::Result<(), String> {
        let mut config = Config::read()?;
        let most = config.integer("bytes", 64)?;
        self.0 = Settings { most: most.clamp(0, 1 << 20) as usize, hex: config.boolean("hex", false)? };
        config.finish()
    }

    fn build_protocol(&mut self, t: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Side { settings: self.0, client: true, number: t.handle(), other: t }))
    }

    fn build_client_protocol(&mut self, t: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Side { settings: self.0, client: false, number: 0, other: t }))
    }

    fn log_prefix(&self) -> &'static str {
        "tap"
    }
}

/// The SDK asks the crate's root for it.
pub fn wirehost_factory() -> Box<dyn Factory> {
    Box::new(Tap(Settings { most: 0, hex: false }))
}

#[cfg(test)]
mod tests;
