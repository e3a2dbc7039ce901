//! datagrams: it writes back every datagram, but for "count", which it answers with how
//! many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
//! what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
//! "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
//! PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
//! little-endian.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

struct Client {
    server: Socket,
    asker: Address,
}

impl Client {
    fn tell(&mut self, s: Socket, what: &[u8]) {
        let _ = self.server.write(what, self.asker); // what is dropped, the asker asks for again
        let _ = s.lose_connection();
    }
}

impl DatagramProtocol for Client {
    fn start_protocol(&mut self, s: Socket) {
        let _ = s.send(b"hello");
    }

    fn datagram_received(&mut self, s: Socket, data: &[u8], _: Address) {
        self.tell(s, data);
    }

    fn connection_refused(&mut self, s: Socket) {
        self.tell(s, b"refused");
    }
}

/// What a word asks for; None: it is not known.
fn does(s: Socket, word: &str, rest: &str) -> Option<Result<()>> {
    let value = rest.parse().unwrap_or(0);
    Some(match word {
        "join" => s.join(rest),
        "leave" => s.leave(rest),
        "mhops" => s.set_option(DatagramOption::MulticastHops, value),
        "loop" => s.set_option(DatagramOption::MulticastLoop, value),
        "broadcast" => s.set_option(DatagramOption::Broadcast, value),
        "hops" => s.set_option(DatagramOption::Hops, value),
        _ => return None,
    })
}

#[derive(Default)]
struct Server {
    count: u32,
}

impl DatagramProtocol for Server {
    fn datagram_received(&mut self, s: Socket, data: &[u8], from: Address) {
        self.count += 1;
        let mut text = String::new();
        let mut answer = data;
        if let Some(endpoint) = data.strip_prefix(b"ask ") {
            let client = Box::new(Client { server: s, asker: from });
            if Socket::open(&String::from_utf8_lossy(endpoint), client).is_ok() {
                return;
            }
            answer = b"not allowed";
        } else if data == b"count" {
            push_number(&mut text, self.count);
            answer = text.as_bytes();
        }
        let word = String::from_utf8_lossy(data);
        let (word, rest) = word.split_once(' ').unwrap_or((&word, ""));
        if word == "shout" {
            for ip in [[239, 1, 2, 3], [255; 4]] {
                let _ = s.write(data, Address::v4(ip, rest.parse().unwrap_or(0)));
            }
            return;
        }
        if let Some(done) = does(s, word, rest) {
            answer = if done.is_ok() { b"yes" } else { b"no" };
        }
        let _ = s.write(answer, from);
    }

    fn save_state(&self) -> Option<Vec<u8>> {
        Some(self.count.to_le_bytes().to_vec())
    }

    fn restore_state(&mut self, _: Socket, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        match (version, state) {
            (1, &[a, b, c, d]) => {
                self.count = u32::from_le_bytes([a, b, c, d]);
                Ok(())
            }
            _ => Err("no state of a count".into()),
        }
    }
}

struct Datagrams;

impl Factory for Datagrams {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        None
    }
    fn log_prefix(&self) -> &'static str {
        "datagrams"
    }
}

impl DatagramFactory for Datagrams {
    fn build_datagram_protocol(&mut self, _: Socket) -> Option<Box<dyn DatagramProtocol>> {
        Some(Box::new(Server::default()))
    }
}

wirehost::datagram_plugin!(Datagrams);
