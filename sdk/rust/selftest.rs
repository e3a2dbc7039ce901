//! Tests of the SDK itself, natively: rustc --test selftest.rs && ./selftest
#[path = "wirehost.rs"]
mod wirehost;
use std::cell::Cell;
use std::rc::Rc;
use wirehost::*;

type Restored = std::result::Result<(), String>;

/// Each frame is written as KIND<TEXT>; "close" closes, "pause" pauses.
fn note(t: Transport, kind: &str, p: &[u8]) {
    for part in [kind.as_bytes(), b"<", p, b">"] {
        t.write(part).unwrap();
    }
    if p == b"close" {
        t.lose_connection().unwrap();
    }
    if p == b"tls" {
        t.start_tls().unwrap();
        assert_eq!(t.start_tls(), Err(Status::BUSY));
    }
}

struct Lines {
    lines: LineReceiver,
    raw: usize,
    tell_long: bool,
}

impl Protocol for Lines {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        LineReceiver::receive(self, t, data)
    }
    fn handshake_completed(&mut self, t: Transport) {
        note(t, "up", b"")
    }
    fn delayed_call(&mut self, t: Transport, _: Timer) {
        LineReceiver::resume_producing(self, t).unwrap();
    }
    fn save_state(&self) -> Option<Vec<u8>> {
        let mut state = vec![self.raw as u8];
        self.lines.save_state(&mut state);
        Some(state)
    }
    fn restore_state(&mut self, _: Transport, _: i32, state: &[u8]) -> Restored {
        self.raw = state[0] as usize;
        match self.lines.restore_state(&state[1..]) {
            Some([]) => Ok(()),
            _ => Err("no state".into()),
        }
    }
}

impl LineProtocol for Lines {
    fn lines(&mut self) -> &mut LineReceiver {
        &mut self.lines
    }
    fn line_received(&mut self, t: Transport, line: &[u8]) {
        note(t, "line", line);
        match line {
            [b'r', b'a', b'w', n] => {
                self.raw = (n - b'0') as usize;
                self.lines.set_raw_mode();
            }
            b"clear" => self.lines.clear_line_buffer(),
            b"delim" => self.lines.delimiter = b"-=-".to_vec(),
            b"pause" => {
                self.lines.pause_producing(t).unwrap();
                t.call_later(10).unwrap();
            }
            _ => (),
        }
    }
    fn raw_data_received(&mut self, t: Transport, data: &[u8]) {
        let mine = self.raw.min(data.len());
        t.write(&data[..mine]).unwrap();
        self.raw -= mine;
        if self.raw == 0 {
            self.lines.set_line_mode(data.len() - mine);
        }
        if data.starts_with(b"tls") {
            t.start_tls().unwrap();
        }
    }
    fn line_length_exceeded(&mut self, t: Transport, held: &[u8]) {
        if self.tell_long {
            return note(t, "long", held);
        }
        t.lose_connection().unwrap();
    }
}

struct Strings(StringReceiver);

impl Protocol for Strings {
    fn data_received(&mut self, t: Transport, data: &[u8]) {
        StringReceiver::receive(self, t, data)
    }
    fn save_state(&self) -> Option<Vec<u8>> {
        let mut state = Vec::new();
        self.0.save_state(&mut state);
        Some(state)
    }
    fn restore_state(&mut self, _: Transport, _: i32, state: &[u8]) -> Restored {
        self.0.restore_state(state).map(|_| ()).ok_or_else(|| "no state".into())
    }
}

impl StringProtocol for Strings {
    fn strings(&mut self) -> &mut StringReceiver {
        &mut self.0
    }
    fn string_received(&mut self, t: Transport, s: &[u8]) {
        note(t, "string", s)
    }
    fn length_limit_exceeded(&mut self, t: Transport, length: u32) {
        note(t, "limit", &b"!!!!"[..length.min(4) as usize])
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Line,
    Net,
    Int8,
    Int16,
    Int32,
}

struct Build(Kind, usize, bool);

impl Factory for Build {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        let mut strings = match self.0 {
            Kind::Line => {
                let most = if self.1 > 0 { self.1 } else { LineReceiver::MAX_LENGTH };
                let lines = LineReceiver::new(b"\r\n", most);
                return Some(Box::new(Lines { lines, raw: 0, tell_long: self.2 }));
            }
            Kind::Net => StringReceiver::netstring(),
            Kind::Int8 => StringReceiver::int8(),
            Kind::Int16 => StringReceiver::int16(),
            Kind::Int32 => StringReceiver::int32(),
        };
        if self.1 > 0 {
            strings.max_length = self.1;
        }
        Some(Box::new(Strings(strings)))
    }
}

/// Sends the pieces; reloads behind the first where it is asked to.
fn run(build: Build, pieces: &[&[u8]], reload: bool) -> (Vec<u8>, bool) {
    testing::start(build, "").unwrap();
    let mut t = testing::accept().unwrap();
    let mut before = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        testing::send(t, piece);
        if reload && i == 0 && !testing::ended(t) {
            before = testing::output(t);
            t = testing::reload(t, 1).expect("refused");
        }
    }
    before.extend(testing::output(t));
    (before, testing::ended(t))
}

#[test]
fn framers() {
    use Kind::*;
    let rows: &[(Kind, usize, &[u8], &[u8], bool)] = &[
        (Line, 0, b"a\r\nbc\r\n\r\nrest", b"line<a>line<bc>line<>", false),
        (Line, 0, b"a\nb\r\n", b"line<a\nb>", false),
        (Line, 0, b"\r\r\n\r\n", b"line<\r>line<>", false),
        (Line, 5, b"12345\r\n1234\r\n", b"line<12345>line<1234>", false),
        (Line, 5, b"a\r\n1234567", b"line<a>", true),
        (Line, 5, b"a\r\n123456\r\nb\r\n", b"line<a>", true),
        (Line, 5, b"a\r\n123456", b"line<a>", false),
        (Line, 0, b"close\r\na\r\n", b"line<close>", true),
        (Line, 0, b"raw4\r\n\r\n\r\nb\r\n", b"line<raw4>\r\n\r\nline<b>", false),
        (Line, 0, b"delim\r\na\r\n-=b-=-c-=-", b"line<delim>line<a\r\n-=b>line<c>", false),
        (Net, 0, b"3:abc,0:,1:,,", b"string<abc>string<>string<,>", false),
        (Net, 0, b"1:a,12", b"string<a>", false),
        (Net, 12, b"12:123456789012,", b"string<123456789012>", false),
        (Net, 12, b"1:a,13", b"string<a>", true),
        (Net, 0, b"1:a,100000", b"string<a>", true),
        (Net, 0, b"1:a,01:a,", b"string<a>", true),
        (Net, 0, b"00:,", b"", true),
        (Net, 0, b"1a:a,", b"", true),
        (Net, 0, b":,", b"", true),
        (Net, 0, b"1:a,3:abcd", b"string<a>", true),
        (Net, 0, b"5:close,1:a,x", b"string<close>", true),
        (Net, 0, b"9999999999999999999999", b"", true),
        (Int8, 0, b"\x03abc\x00\x01a", b"string<abc>string<>string<a>", false),
        (Int8, 3, b"\x03abc\x04abcd", b"string<abc>limit<!!!!>", true),
        (Int16, 0, b"\x00\x03abc\x00\x00\x00\x01a\x00", b"string<abc>string<>string<a>", false),
        (Int32, 0, b"\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00", b"string<abc>string<>", false),
        (Int32, 0, b"\x00\x00\x00\x00\xff\xff\xff\xff", b"string<>limit<!!!!>", true),
    ];
    for (kind, most, input, want, closes) in rows {
        let wanted = (want.to_vec(), *closes);
        let plain = !input.starts_with(b"delim"); // the delimiter is not in the state
        for a in 0..=input.len() {
            let (head, tail) = input.split_at(a);
            let mut bytes: Vec<&[u8]> = vec![head];
            bytes.extend(tail.chunks(1));
            for (pieces, reload) in [(&[head, tail][..], false), (&[head, tail], plain), (&bytes, false), (&bytes, plain)] {
                let found = run(Build(*kind, *most, false), pieces, reload);
                assert_eq!(found, wanted, "{:?}, reload {}", pieces, reload);
            }
        }
    }
}

#[test]
fn pauses() {
    testing::start(Build(Kind::Line, 0, false), "").unwrap();
    let t = testing::accept().unwrap();
    testing::send(t, b"a\r\npause\r\nb\r\nc");
    assert_eq!(testing::output(t), b"line<a>line<pause>");
    assert_eq!(t.state(), Ok(state::PAUSED | state::CAN_START_TLS));
    testing::advance(9.0);
    assert_eq!(testing::output(t), b"line<a>line<pause>");
    testing::advance(1.0);
    testing::send(t, b"d\r\n");
    assert_eq!(testing::output(t), b"line<a>line<pause>line<b>line<cd>");
    assert_eq!(t.state(), Ok(state::CAN_START_TLS));
    t.start_tls().unwrap();
    assert_eq!(t.state(), Ok(state::TLS));
    let t = testing::accept().unwrap();
    testing::send(t, b"clear\r\nlost\r\n");
    testing::send(t, b"x\r\n");
    assert_eq!(testing::output(t), b"line<clear>line<x>");
    let (found, _) = run(Build(Kind::Line, 2, true), &[b"123456\r\nab\r\n"], false);
    assert_eq!(String::from_utf8(found).unwrap(), "long<1234>line<56>line<ab>");
}

/// What came in plain text behind "tls" is not delivered, in whatever way it is held.
#[test]
fn nothing_plain() {
    use Kind::*;
    let rows: &[(Kind, &[u8], &[u8], &str)] = &[
        (Line, b"a\r\ntls\r\nEVIL\r\nEV", b"b\r\n", "line<a>line<tls>up<>line<b>"),
        (Line, b"tls\r\nEVIL\r", b"\nb\r\n", "line<tls>up<>line<\nb>"),
        (Line, b"raw3\r\ntlsEVIL\r\nEV", b"b\r\n", "line<raw3>tlsup<>line<b>"),
        (Net, b"3:tls,4:EVIL,9:EV", b"1:b,", "string<tls>string<b>"),
        (Int8, b"\x03tls\x04EVIL\x07E", b"\x01b", "string<tls>string<b>"),
        (Int16, b"\x00\x03tls\x00\x04EVIL\x00", b"\x00\x01b", "string<tls>string<b>"),
        (Int32, b"\x00\x00\x00\x03tls\x00\x00\x00\x04EVIL\x00", b"\x00\x00\x00\x01b", "string<tls>string<b>"),
    ];
    for (kind, plain, secure, want) in rows {
        let (found, _) = run(Build(*kind, 0, false), &[plain, secure], false);
        assert_eq!(&String::from_utf8(found).unwrap(), want);
    }
    // What is held while it is paused; it doesn't come with a reload either.
    for reloads in [&[][..], &[true], &[false, true]] {
        testing::start(Build(Line, 0, false), "").unwrap();
        let mut t = testing::accept().unwrap();
        testing::send(t, b"pause\r\nEVIL\r\nEV");
        let early = reloads.first() == Some(&false);
        if early {
            t = testing::reload(t, 1).unwrap(); // held in the new version, too
            t.call_later(10).unwrap();
        }
        t.start_tls().unwrap();
        testing::advance(1.0); // handshake_completed
        if reloads.last() == Some(&true) {
            t = testing::reload(t, 1).unwrap();
            t.call_later(10).unwrap();
        }
        testing::advance(20.0);
        testing::send(t, b"b\r\n");
        let found = String::from_utf8(testing::output(t)).unwrap();
        assert!(found.ends_with("line<b>") && !found.contains("EV"), "{}: {}", reloads.len(), found);
    }
}

#[test]
fn gathers() {
    testing::start(Build(Kind::Line, 0, false), "").unwrap();
    let t = testing::accept().unwrap();
    testing::send(t, b"a\r\nb\r\nc\r\nd\r\n");
    assert_eq!(testing::write_calls(), 1);
    let large = [b'x'; 10000];
    let before = testing::output(t).len();
    t.write(b"1").unwrap();
    t.write(&large).unwrap();
    t.write(b"2").unwrap();
    t.lose_connection().unwrap();
    t.write(b"dropped").unwrap();
    let found = testing::output(t).split_off(before);
    assert_eq!(found, [b"1", &large[..], b"2"].concat());
    assert_eq!(testing::write_calls(), 3);
}

struct Client(Rc<Cell<i32>>);

impl Protocol for Client {
    fn connection_made(&mut self, t: Transport) {
        t.write(b"hello").unwrap();
        t.call_later(10).unwrap();
        t.call_later(20).unwrap().cancel().unwrap();
        t.call_later(1000).unwrap();
        t.register_producer(true).unwrap();
    }
    fn data_received(&mut self, t: Transport, _: &[u8]) {
        t.lose_connection().unwrap();
        t.write(b"last").unwrap(); // a producer may still
        t.unregister_producer().unwrap();
    }
    fn delayed_call(&mut self, t: Transport, timer: Timer) {
        self.0.set(self.0.get() + 1);
        assert_eq!(timer.cancel(), Err(Status::NO_TIMER));
        t.write(b"tick").unwrap();
    }
    fn client_connection_failed(&mut self, _: Transport, why: Reason) {
        self.0.set(100 + why.0);
    }
    fn connection_lost(&mut self, t: Transport, why: Reason) {
        assert_eq!((why, t.reason_text()), (Reason::DONE, Ok("test".into())));
        self.0.set(self.0.get() + 1000);
    }
}

#[test]
fn clients_and_timers() {
    testing::start(Build(Kind::Line, 0, false), "").unwrap();
    let seen = Rc::new(Cell::new(0));
    let t = connect("tcp://192.0.2.3:25", 0, Box::new(Client(seen.clone()))).unwrap();
    assert_eq!((t.write(b"early"), testing::endpoint(t).as_str()), (Err(Status::NO_CONNECTION), "tcp://192.0.2.3:25"));
    testing::made(t);
    testing::advance(50.0);
    assert_eq!((testing::output(t), seen.get()), (b"hellotick".to_vec(), 1));
    testing::send(t, b"x");
    assert_eq!((testing::output(t), seen.get()), (b"helloticklast".to_vec(), 1001));
    testing::advance(5000.0); // its last call ended with it
    assert_eq!((seen.get(), t.write(b"late")), (1001, Err(Status::NO_CONNECTION)));
    let t = connect("tcp://192.0.2.3:25", 0, Box::new(Client(seen.clone()))).unwrap();
    testing::failed(t, Reason::REFUSED);
    assert_eq!(seen.get(), 109);
    let free = seen.clone();
    let timer = call_later(5, move || free.set(7)).unwrap();
    timer.reset(10).unwrap();
    testing::advance(9.0);
    assert_eq!(seen.get(), 109);
    testing::advance(1.0);
    assert_eq!((seen.get(), call_later(-1, || ()).unwrap_err()), (7, Status::INVALID));
}

#[test]
fn half_close() {
    testing::start(Build(Kind::Line, 0, false), "").unwrap();
    let t = testing::accept().unwrap();
    testing::send(t, b"a\r\nrest");
    testing::finish(t);
    assert!(testing::ended(t) && testing::output(t) == b"line<a>");
}

struct Configured;

impl Factory for Configured {
    fn start(&mut self) -> Restored {
        let mut c = Config::read()?;
        let found = format!("{}|{}|{}", c.text("name", "was")?, c.integer("n", 7)?, c.boolean("on", false)?);
        c.finish()?;
        log(Level::Info, &found).map_err(|s| s.to_string())
    }
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        None
    }
}

#[test]
fn configuration() {
    for (text, want) in [
        ("", Ok("was|7|false")),
        ("null", Ok("was|7|false")),
        (" { } ", Ok("was|7|false")),
        (r#"{"name": "x", "n" : -12, "on":true}"#, Ok("x|-12|true")),
        (r#"{"name": "\r\n\u00e9\ud83d\ude00\""}"#, Ok("\r\né😀\"|7|false")),
        (r#"{"other": [1, {"a": null}]}"#, Err("config.other: no such key")),
        (r#"{"n": 1.5}"#, Err("config.n: wanted a whole number")),
        (r#"{"n": "1"}"#, Err("config.n: wanted a whole number")),
        (r#"{"n": 1"#, Err("config: is no JSON")),
        (r#"{"name": "\ud83d"}"#, Err("config: is no JSON")),
        (r#"{"on": 1}"#, Err("config.on: wanted true or false")),
        ("[1]", Err("config: wanted keys and values")),
    ] {
        let found = testing::start(Configured, text).map(|_| testing::log_lines().join("\n"));
        assert_eq!(found, want.map(String::from).map_err(String::from), "{}", text);
    }
    assert!(testing::accept().is_none());
    let deep = "[".repeat(100_000);
    assert_eq!(Json::parse(&deep), None);
}

struct Sends;

impl Protocol for Sends {
    fn connection_made(&mut self, t: Transport) {
        let long = vec![0; 65536];
        assert_eq!(StringReceiver::int8().send_string(t, &long[..256]), Err(Status::TOO_BIG));
        assert_eq!(StringReceiver::int16().send_string(t, &long), Err(Status::TOO_BIG));
        StringReceiver::int8().send_string(t, b"ab").unwrap();
        StringReceiver::int16().send_string(t, b"c").unwrap();
        StringReceiver::int32().send_string(t, b"d").unwrap();
        StringReceiver::netstring().send_string(t, b"hello world!").unwrap();
        LineReceiver::default().send_line(t, b"e").unwrap();
        assert_eq!(t.peer().unwrap(), "tcp://192.0.2.1:5000");
    }
    fn data_received(&mut self, _: Transport, _: &[u8]) {}
}

impl Factory for Sends {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Sends))
    }
}

#[test]
fn sends() {
    testing::start(Sends, "").unwrap();
    let t = testing::accept().unwrap();
    assert_eq!(testing::output(t), b"\x02ab\x00\x01c\x00\x00\x00\x01d12:hello world!,e\r\n");
    assert!(testing::reload(t, 1).is_none()); // it has no save_state
}

#[test]
fn leb() {
    for n in [0, 1, 127, 128, 300, u64::MAX] {
        let mut b = Vec::new();
        push_leb(&mut b, n);
        assert_eq!(take_leb(&b), Some((n, &[][..])));
        assert_eq!(take_leb(&b[..b.len() - 1]), None);
    }
    assert_eq!(take_leb(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), None);
}

#[test]
fn time_and_random() {
    let mut drawn = [vec![0; 70001], vec![0; 70001], vec![0; 70001]];
    testing::start(Sends, "").unwrap();
    for d in &mut drawn[..2] {
        random(d).unwrap();
    }
    testing::start(Sends, "").unwrap();
    random(&mut drawn[2]).unwrap();
    assert!(drawn[0] != drawn[1] && drawn[0] == drawn[2]);
    assert!(drawn[0][..4000] != drawn[0][65536..69536]);
    testing::advance(1500.0);
    assert_eq!(time(), 1767225601.5);
}

type Times = std::rc::Rc<std::cell::RefCell<Vec<f64>>>;

#[test]
fn looping_calls() {
    testing::start(Sends, "").unwrap();
    let times = Times::default();
    let (noted, kept) = (times.clone(), std::rc::Rc::new(std::cell::RefCell::new(None::<LoopingCall>)));
    let inside = kept.clone();
    let l = LoopingCall::new(move || {
        noted.borrow_mut().push(seconds());
        match noted.borrow().len() {
            2 => testing::advance(2500.0), // it takes so long: what it misses is not made up for
            4 => inside.borrow().as_ref().unwrap().stop().unwrap(),
            _ => (),
        }
    });
    *kept.borrow_mut() = Some(l.clone());
    assert_eq!(l.start(-1, true), Err(Status::INVALID));
    l.start(1000, true).unwrap();
    assert_eq!(l.start(1000, true), Err(Status::BUSY));
    testing::advance(10_000.0);
    assert_eq!(*times.borrow(), [0.0, 1.0, 4.0, 5.0]);
    assert!(!l.running() && l.handle() == 0);

    let noted = times.clone();
    let next = LoopingCall::new(move || noted.borrow_mut().push(seconds()));
    next.restore(0, 1000);
    assert!(!next.running());
    times.borrow_mut().clear();
    let timer = call_later(700, || ()).unwrap(); // as of the version before
    let now = seconds();
    next.restore(timer.handle(), 1000);
    testing::advance(1800.0);
    assert_eq!(*times.borrow(), [now + 0.7, now + 1.7]);
    next.stop().unwrap();
}

#[test]
fn client_services() {
    testing::start(Sends, "").unwrap();
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let tell = |name: &'static str| {
        let told = told.clone();
        move |got: std::result::Result<Transport, Reason>| told.borrow_mut().push((name, got.err()))
    };
    let s = ClientService::new("tcp://192.0.2.3:25", || Box::new(Sends));
    s.set_delays(0, 100, 1000);
    s.when_connected(0, tell("early"));
    s.start().unwrap();
    assert_eq!(s.start(), Err(Status::BUSY));
    s.when_connected(0, tell("patient"));
    s.when_connected(2, tell("hasty"));
    for _ in 0..2 {
        let t = testing::outgoing().unwrap();
        testing::failed(t, Reason::REFUSED);
        testing::advance(99.0);
        assert!(testing::outgoing().is_none());
        testing::advance(1200.0);
    }
    let t = testing::outgoing().unwrap();
    testing::made(t);
    s.when_connected(1, tell("late"));
    testing::lose(t, Reason::LOST);
    s.when_connected(0, tell("next"));
    testing::advance(1200.0);
    testing::made(testing::outgoing().unwrap());
    s.stop();
    testing::advance(100_000.0);
    assert!(testing::outgoing().is_none());
    s.start().unwrap();
    s.when_connected(0, tell("last"));
    s.stop();
    let (refused, aborted) = (Some(Reason::REFUSED), Some(Reason::ABORTED));
    assert_eq!(
        *told.borrow(),
        [("early", aborted), ("hasty", refused), ("patient", None), ("late", None), ("next", None), ("last", aborted)]
    );
}

#[test]
fn metrics() {
    testing::start(Sends, "").unwrap();
    for (kind, name, want) in [
        (MetricKind::Counter, "m1", 5.0),
        (MetricKind::Gauge, "m2", 2.0),
        (MetricKind::Histogram, "m3", 5.0),
    ] {
        let m = Metric::new(kind, name).unwrap();
        assert_eq!(Metric::new(kind, name), Ok(m));
        m.record(3.0).unwrap();
        m.record(2.0).unwrap();
        assert_eq!(m.record(f64::NAN), Err(Status::INVALID));
        assert_eq!(testing::metric(name), Some(want));
        assert_eq!(m.record(-1.0).is_err(), kind == MetricKind::Counter);
    }
    assert_eq!(Metric::new(MetricKind::Gauge, "m1"), Err(Status::BUSY));
    for name in ["", "no name", "1m", "m_count"] {
        assert_eq!(Metric::new(MetricKind::Gauge, name), Err(Status::INVALID), "{}", name);
    }
    assert_eq!(testing::metric("other"), None);
}

#[test]
fn folder_of_assets() {
    testing::set_assets(&[("pages/index.html", b"<p>"), ("a", b""), ("pages-old", b"0123456789"), ("é", b"x")]);
    testing::start(Sends, "").unwrap();
    let names: Vec<String> = assets().map(Asset::name).collect();
    assert_eq!(names, ["a", "pages-old", "pages/index.html", "é"]);
    assert_eq!(assets().len(), 4);
    for file in assets() {
        assert_eq!(Asset::find(&file.name()), Some(file));
    }
    for name in ["", "b", "pages", "pages/", "pages/index.html2", "zz"] {
        assert_eq!(Asset::find(name), None, "{}", name);
    }
    let old = Asset::find("pages-old").unwrap();
    assert_eq!((old.size(), old.read()), (10, b"0123456789".to_vec()));
    let mut buf = [0; 4];
    assert_eq!((old.read_at(7, &mut buf), &buf), (3, b"789\0"));
    assert_eq!((old.read_at(10, &mut buf), old.read_at(usize::MAX, &mut buf), old.read_at(0, &mut [])), (0, 0, 0));
    testing::set_assets(&[]);
    assert_eq!((assets().len(), Asset::find("a")), (0, None));
}

/// A socket's protocol: it answers what it gets, and notes what else it is told.
struct Notes {
    told: Rc<std::cell::RefCell<String>>,
}

impl Notes {
    fn say(&self, what: &str) {
        self.told.borrow_mut().push_str(what);
    }
}

impl DatagramProtocol for Notes {
    fn start_protocol(&mut self, _: Socket) {
        self.say("start ");
    }
    fn datagram_received(&mut self, s: Socket, data: &[u8], from: Address) {
        s.write(data, from).unwrap();
        match data {
            b"flush" => s.flush().unwrap(),
            b"peer" => s.send(b"x").unwrap(),
            b"later" => drop(s.call_later(5).unwrap()),
            b"close" => s.lose_connection().unwrap(),
            _ => (),
        }
    }
    fn delayed_call(&mut self, s: Socket, _: Timer) {
        s.send(b"due").unwrap();
    }
    fn connection_refused(&mut self, s: Socket) {
        self.say("refused ");
        s.join("239.1.2.3").unwrap();
        s.leave("239.1.2.3").unwrap();
        s.set_option(DatagramOption::MulticastHops, 2).unwrap();
    }
    fn stop_protocol(&mut self, _: Socket, why: Reason) {
        self.say(&format!("stop {} ", why.0));
    }
    fn save_state(&self) -> Option<Vec<u8>> {
        Some(b"s".to_vec())
    }
    fn restore_state(&mut self, _: Socket, version: i32, state: &[u8]) -> Restored {
        if version != 1 || state != b"s" {
            return Err("no state".into());
        }
        self.say("restored ");
        Ok(())
    }
}

struct Sockets {
    told: Rc<std::cell::RefCell<String>>,
    none: Rc<Cell<bool>>,
}

impl Factory for Sockets {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        None
    }
}

impl DatagramFactory for Sockets {
    fn build_datagram_protocol(&mut self, _: Socket) -> Option<Box<dyn DatagramProtocol>> {
        if self.none.get() {
            return None;
        }
        Some(Box::new(Notes { told: self.told.clone() }))
    }
}

#[test]
fn sockets() {
    let told = Rc::new(std::cell::RefCell::new(String::new()));
    let none = Rc::new(Cell::new(false));
    testing::start_datagrams(Sockets { told: told.clone(), none: none.clone() }, "").unwrap();
    let four = Address::v4([192, 0, 2, 1], 5000);
    let six = Address::v6([3; 16], 6000, 7);
    assert_eq!(four.socket_addr().unwrap().to_string(), "192.0.2.1:5000");
    assert!(six.socket_addr().unwrap().is_ipv6());
    let s = testing::bind();
    let texts: [&[u8]; 5] = [b"a", b"", b"1234567", b"12345678", b"123456789"];
    testing::receive(s, six, &texts);
    let (sent, calls) = testing::sent();
    assert_eq!(calls, 1);
    for (d, text) in sent.iter().zip(texts) {
        assert_eq!((d.socket, d.to, &d.data[..]), (s, Some(six), text));
    }
    testing::receive(s, four, &[b"flush", b"peer"]);
    testing::take_only(2);
    testing::receive(s, four, &texts);
    testing::take_only(0);
    assert_eq!((testing::sent().1, s.dropped()), (4, 3));
    testing::receive(s, four, &[b"later"]);
    testing::advance(5.0);
    let last = |data: &[u8]| testing::sent().0.last().map_or(false, |d| d.data == data);
    assert!(last(b"due"));

    let moved = testing::reload(s.transport(), 1).unwrap();
    assert!(testing::reload(s.transport(), 2).is_none());
    testing::lose(moved, Reason::REPLACED);
    testing::receive(s, four, &[b"close", b"never"]);
    assert!(last(b"close"));
    assert_eq!(*told.borrow(), "start restored stop 6 stop 0 ");
    assert_eq!((s.send(b"late"), s.dropped()), (Err(Status::NO_CONNECTION), 0));

    told.borrow_mut().clear();
    let c = Socket::open("udp://192.0.2.9:123", Box::new(Notes { told: told.clone() })).unwrap();
    assert_eq!(c.send(b"early"), Err(Status::NO_CONNECTION));
    testing::started(c);
    testing::refused(c);
    testing::lose(c.transport(), Reason::LOST);
    assert_eq!(*told.borrow(), "start refused stop 1 ");

    none.set(true);
    assert!(testing::ended(testing::bind().transport()));
}

/// Says a word when it is made, and again for what comes; its state is empty.
struct Word(&'static str);

impl Protocol for Word {
    fn connection_made(&mut self, t: Transport) {
        let _ = t.write(self.0.as_bytes());
    }
    fn data_received(&mut self, t: Transport, _: &[u8]) {
        let _ = t.write(self.0.as_bytes());
    }
    fn save_state(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
    fn restore_state(&mut self, _: Transport, _: i32, _: &[u8]) -> std::result::Result<(), String> {
        Ok(())
    }
}

struct Words;

impl Factory for Words {
    fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Word("main ")))
    }
}

#[test]
fn ports() {
    testing::start(Words, "").unwrap();
    let left = Rc::new(Cell::new(2));
    let most = left.clone();
    let port = Port::listen("tcp://127.0.0.1:0", move |_| {
        most.set(most.get() - 1);
        (most.get() >= 0).then(|| Box::new(Word("passive ")) as Box<dyn Protocol>)
    })
    .unwrap();
    let host = port.host().unwrap();
    assert!(host.starts_with("tcp://127.0.0.1:4000"), "{}", host);
    assert_eq!(testing::listening(), Some(port));
    let said = |t: Transport, want: &str| assert_eq!(String::from_utf8(testing::output(t)).unwrap(), want);
    let (c, plain) = (testing::accept_at(port).unwrap(), testing::accept().unwrap());
    said(c, "passive ");
    said(plain, "main ");
    assert_eq!((c.listener(), plain.listener()), (Ok(Some(port)), Ok(None)));

    let moved = testing::reload(c, 1).unwrap();
    testing::send(moved, b"x");
    said(moved, "passive ");
    assert!(testing::accept_at(port).is_none()); // the builder has had enough
    assert_eq!(Port::listen(&host, |_| None), Err(Status::BUSY));
    assert_eq!(Port::listen("udp://127.0.0.1:1", |_| None), Err(Status::INVALID));

    assert_eq!((port.stop_listening(), port.stop_listening()), (Ok(()), Err(Status::NO_CONNECTION)));
    assert!(testing::accept_at(port).is_none() && testing::listening().is_none());
    let nobodys = testing::reload(moved, 1).unwrap();
    testing::send(nobodys, b"x");
    said(nobodys, "main ");
    Port::restore(port.handle(), |_| Some(Box::new(Word("restored "))));
    let restored = testing::reload(moved, 1).unwrap();
    testing::send(restored, b"x");
    said(restored, "restored ");

    testing::deny();
    assert_eq!(Port::listen("tcp://127.0.0.1:0", |_| None), Err(Status::NOT_ALLOWED));
}

/// A builder that stops its own port, and one that listens.
#[test]
fn ports_change_ports() {
    testing::start(Words, "").unwrap();
    let port = Port::listen("unix:///once", |t| {
        t.listener().unwrap().unwrap().stop_listening().unwrap();
        Port::listen("unix:///more", |_| None).unwrap();
        Some(Box::new(Word("once")))
    })
    .unwrap();
    assert!(testing::accept_at(port).is_some() && testing::accept_at(port).is_none());
    assert_eq!(testing::listening().unwrap().host().unwrap(), "unix:///more");
}
