//! everything calls all that the SDK has, so that a test holds it against the ABI. It
//! is not meant to run.
#[path = "../wirehost.rs"]
mod wirehost;
use wirehost::*;

struct Everything;

fn all(t: Transport) -> wirehost::Result<()> {
    t.write(b"x")?;
    t.flush()?;
    t.lose_write_connection()?;
    t.pause_producing()?;
    t.resume_producing()?;
    t.register_producer(true)?;
    t.unregister_producer()?;
    t.state()?;
    t.set_timeout(1)?;
    log(Level::Info, &t.peer()?)?;
    log(Level::Info, &t.host()?)?;
    log(Level::Info, &t.reason_text()?)?;
    log(Level::Info, &t.negotiated_protocol()?)?;
    t.write(&t.peer_certificate()?)?;
    t.set_tcp_no_delay(true)?;
    t.set_tcp_keep_alive(true)?;
    t.start_tls()?;
    t.start_tls_client("localhost")?;
    t.hand_over("other", b"first")?;
    t.call_later(1)?.reset(2)?;
    call_later(1, || ())?.cancel()?;
    random(&mut [time() as u8])?;
    let port = Port::listen("tcp://127.0.0.1:0", |_| None)?;
    log(Level::Info, &port.host()?)?;
    if t.listener()? != Some(port) {
        port.stop_listening()?;
    }
    if seconds() > 1.0 {
        connect("tcp://127.0.0.1:1", 1, Box::new(Everything))?;
        connect_as(t, "plugin://next", 1, Box::new(Everything))?;
    }
    Socket::open("udp://127.0.0.1:1", Box::new(Everything))?.flush()?;
    log(Level::Info, &config_json()?)?;
    Metric::new(MetricKind::Counter, "everything_total")?.record(1.0)?;
    for file in assets() {
        log(Level::Info, &file.name())?;
        t.write(&file.read())?;
    }
    t.abort_connection()
}

impl Protocol for Everything {
    fn data_received(&mut self, t: Transport, _: &[u8]) {
        let _ = all(t);
    }
}

impl DatagramProtocol for Everything {
    fn datagram_received(&mut self, s: Socket, data: &[u8], from: Address) {
        let _ = s.write(data, from);
        let _ = s.join("239.1.2.3");
        let _ = s.leave("239.1.2.3");
        let _ = s.set_option(DatagramOption::MulticastHops, s.dropped() as i32);
    }
}

impl DatagramFactory for Everything {
    fn build_datagram_protocol(&mut self, _: Socket) -> Option<Box<dyn DatagramProtocol>> {
        Some(Box::new(Everything))
    }
}

impl Factory for Everything {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Everything))
    }
}

wirehost::datagram_plugin!(Everything);
