//! The SDK for protocols in Rust that run inside the wirehost server. Copy this
//! file into a project; it needs nothing but std, and Rust 1.63 or later. It
//! speaks in the words of Twisted: a [`Factory`] builds a [`Protocol`] for each
//! connection, which answers through its [`Transport`].
//!
//! ```ignore
//! mod wirehost;
//! use wirehost::*;
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, t: Transport, data: &[u8]) { let _ = t.write(data); }
//! }
//! struct EchoFactory;
//! impl Factory for EchoFactory {
//!     fn build_protocol(&mut self, _: Transport) -> Option<Box<dyn Protocol>> { Some(Box::new(Echo)) }
//! }
//! // In the crate's root, for the SDK.
//! pub fn wirehost_factory() -> Box<dyn Factory> { Box::new(EchoFactory) }
//! ```
//!
//! Callbacks run one after another on one thread, never one inside another. They
//! must not block. A panic is logged and ends the instance. Small writes of a
//! callback are gathered and sent with one call to the server when it returns.
//!
//! Natively, [`testing`] stands in for the server: a protocol's tests are plain
//! `cargo test`.
#![allow(dead_code)]

use std::cell::RefCell;
use std::mem;

// What `wirehost inspect` shows.
#[cfg(target_arch = "wasm32")]
#[link_section = "wirehost_sdk"]
#[used]
static SDK: [u8; 10] = *b"Rust 0.1.0";

/// What the server answers a call with that it refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub i32);

impl Status {
    pub const NO_CONNECTION: Status = Status(-1); // no such connection, or it has ended
    pub const INVALID: Status = Status(-2); // bad argument
    pub const TOO_BIG: Status = Status(-3); // over a limit
    pub const NOT_ALLOWED: Status = Status(-4); // the configuration does not allow it
    pub const BUSY: Status = Status(-5); // already so
    pub const NO_TIMER: Status = Status(-6); // no such timer, or it has ended
    pub const NOT_SUPPORTED: Status = Status(-7); // not on this transport
    pub const NOT_NOW: Status = Status(-8); // not in this callback

    pub fn text(self) -> &'static str {
        match self.0 {
            -1 => "no such connection",
            -2 => "bad argument",
            -3 => "over a limit",
            -4 => "not allowed",
            -5 => "already so",
            -6 => "no such timer",
            -7 => "not on this transport",
            -8 => "not in this callback",
            _ => "unknown status",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Status {}

/// A count, or why not.
pub type Result<T> = std::result::Result<T, Status>;

fn count(n: i32) -> Result<usize> {
    if n < 0 {
        Err(Status(n))
    } else {
        Ok(n as usize)
    }
}

fn done(n: i32) -> Result<()> {
    count(n).map(|_| ())
}

/// Why a connection ended or could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason(pub i32);

impl Reason {
    pub const DONE: Reason = Reason(0); // clean close by either side
    pub const LOST: Reason = Reason(1); // I/O error
    pub const ABORTED: Reason = Reason(2); // by us
    pub const TIMEOUT: Reason = Reason(3); // idle, connect, handshake or flush took too long
    pub const TLS_FAILURE: Reason = Reason(4); // handshake or record error
    pub const SHUTTING_DOWN: Reason = Reason(5); // the server shuts down
    pub const REPLACED: Reason = Reason(6); // by a reload
    pub const OVER_LIMIT: Reason = Reason(7); // over a limit
    pub const TRAPPED: Reason = Reason(8); // the guest trapped
    pub const REFUSED: Reason = Reason(9); // connect: refused or unreachable
    pub const NO_SUCH_HOST: Reason = Reason(10); // connect: the name does not resolve
    pub const NOT_ALLOWED: Reason = Reason(11); // connect: the address is not allowed
}

/// Bits of [`Transport::state`].
pub mod state {
    pub const PAUSED: i32 = 1; // reading is paused by us
    pub const PEER_CLOSED: i32 = 2; // the peer has closed its writing side
    pub const WRITE_CLOSED: i32 = 4; // our writing side is closed, or will be
    pub const CLOSING: i32 = 8; // lose_connection was called
    pub const PRODUCER: i32 = 16; // a producer is registered
    pub const TLS: i32 = 32; // TLS is on
    pub const OUTGOING: i32 = 64; // made by connect
}

/// The weight of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One connection's protocol. `t` is the connection, the same in each call.
#[allow(unused_variables)]
pub trait Protocol {
    /// First, before any byte is read.
    fn connection_made(&mut self, t: Transport) {}
    /// 1 byte to 64 KiB of the stream, cut anywhere. None comes once
    /// `lose_connection` or `abort_connection` was called.
    fn data_received(&mut self, t: Transport, data: &[u8]);
    /// Once, last. Getters still answer; writes are dropped.
    fn connection_lost(&mut self, t: Transport, why: Reason) {}
    /// After [`connect`], in place of `connection_made`; nothing else comes.
    fn client_connection_failed(&mut self, t: Transport, why: Reason) {}
    /// The peer closed its writing side. This one flushes and closes.
    fn read_connection_lost(&mut self, t: Transport) {
        if let Err(status) = t.lose_connection() {
            report(Level::Warn, "close after the peer's", t.0, status.text());
        }
    }
    /// Our writing side is closed.
    fn write_connection_lost(&mut self, t: Transport) {}
    /// TLS is up; `connection_made` came before.
    fn handshake_completed(&mut self, t: Transport) {}
    /// After `register_producer`: the output is above high water.
    fn pause_producing(&mut self, t: Transport) {}
    /// The output is below low water; of a pull producer: it has emptied.
    fn resume_producing(&mut self, t: Transport) {}
    /// The connection is gone.
    fn stop_producing(&mut self, t: Transport) {}
    /// A call of [`Transport::call_later`] is due.
    fn delayed_call(&mut self, t: Transport, timer: Timer) {}
    /// The state that a reload moves to the new version; None declines.
    fn save_state(&self) -> Option<Vec<u8>> {
        None
    }
    /// In the new version, in place of `connection_made`. An error refuses, and
    /// the connection stays on the old version.
    fn restore_state(&mut self, t: Transport, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        Err("the protocol has no restore_state".into())
    }
}

/// Builds the protocols. There is one in each instance: by default one for each event
/// loop, so that what it remembers is shared by the connections of that loop. With
/// isolation shared in the plugin's configuration one serves all.
#[allow(unused_variables)]
pub trait Factory {
    /// Of an accepted connection; only getters of `t` work. None refuses it.
    /// Called in a reload too, before `restore_state`.
    fn build_protocol(&mut self, t: Transport) -> Option<Box<dyn Protocol>>;
    /// Of an outgoing connection that a reload moves.
    fn build_client_protocol(&mut self, t: Transport) -> Option<Box<dyn Protocol>> {
        None
    }
    /// Before the first connection. An error refuses to start.
    fn start(&mut self) -> std::result::Result<(), String> {
        Ok(())
    }
    /// After the last connection.
    fn stop(&mut self) {}
    /// A name for log lines.
    fn log_prefix(&self) -> &'static str {
        ""
    }
    /// The number of the layout that `save_state` writes.
    fn state_version(&self) -> i32 {
        1
    }
    /// The factory's own state.
    fn save_state(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore_state(&mut self, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        Err("the factory has no restore_state".into())
    }
}

/// Values by handle. Handles come in sequence, so their low bits spread well.
struct Table<T> {
    slots: Vec<Vec<(i32, T)>>,
    len: usize,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Table { slots: Vec::new(), len: 0 }
    }

    fn slot(&mut self, handle: i32) -> Option<&mut Vec<(i32, T)>> {
        let mask = self.slots.len().wrapping_sub(1);
        self.slots.get_mut(handle as usize & mask)
    }

    fn get(&mut self, handle: i32) -> Option<&mut T> {
        self.slot(handle)?.iter_mut().find(|e| e.0 == handle).map(|e| &mut e.1)
    }

    fn insert(&mut self, handle: i32, value: T) {
        if self.len == self.slots.len() {
            let wide = if self.len == 0 { 4 } else { 2 * self.len };
            let old = mem::take(&mut self.slots);
            self.slots.resize_with(wide, Vec::new);
            for e in old.into_iter().flatten() {
                self.push(e);
            }
        }
        self.len += 1;
        self.push((handle, value));
    }

    fn push(&mut self, e: (i32, T)) {
        if let Some(slot) = self.slot(e.0) {
            slot.push(e);
        }
    }

    fn remove(&mut self, handle: i32) -> Option<T> {
        let slot = self.slot(handle)?;
        let at = slot.iter().position(|e| e.0 == handle)?;
        let value = slot.swap_remove(at).1;
        self.len -= 1;
        Some(value)
    }
}

struct Conn {
    protocol: Option<Box<dyn Protocol>>, // None while one of its callbacks runs
    timers: Vec<i32>,
    error: i32,    // of the last sending at the end of a callback
    pending: bool, // outgoing, and not made yet
    closing: bool, // lose_connection or abort_connection was called
    half: bool,    // lose_write_connection was called
    aborted: bool,
    lost: bool,
    producer: bool,
    tls: bool,     // start_tls was called, in this instance
    shaking: bool, // and handshake_completed has not come
}

impl Conn {
    fn new(protocol: Option<Box<dyn Protocol>>, pending: bool) -> Self {
        Conn {
            protocol,
            timers: Vec::new(),
            error: 0,
            pending,
            closing: false,
            half: false,
            aborted: false,
            lost: false,
            producer: false,
            tls: false,
            shaking: false,
        }
    }

    /// Closing waits for a producer, so what is written while there is one counts.
    fn drops(&self) -> bool {
        self.lost || self.aborted || (self.closing || self.half) && !self.producer
    }
}

enum Call {
    Protocol(i32),
    Function(Box<dyn FnOnce()>),
}

/// Bytes that decide how output is gathered.
const LARGE: usize = 4 << 10; // sent at once, from where it lies
const GATHER: usize = 64 << 10;

struct Guest {
    factory: Option<Box<dyn Factory>>, // None while one of its callbacks runs
    conns: Table<Conn>,
    timers: Table<Call>,
    out: Vec<u8>,  // what this callback wrote
    out_conn: i32, // to whom
    restoring: i32, // the connection whose state is being restored
    saving: bool,
    receive: Vec<u8>, // the registered buffer
    saved: Vec<u8>,
    restore: Vec<u8>,
}

impl Guest {
    const fn new() -> Self {
        Guest {
            factory: None,
            conns: Table::new(),
            timers: Table::new(),
            out: Vec::new(),
            out_conn: 0,
            restoring: 0,
            saving: false,
            receive: Vec::new(),
            saved: Vec::new(),
            restore: Vec::new(),
        }
    }
}

/// The instance: the only one, and it has one thread.
#[cfg(target_arch = "wasm32")]
struct Only(RefCell<Guest>);

#[cfg(target_arch = "wasm32")]
unsafe impl Sync for Only {}

#[cfg(target_arch = "wasm32")]
static GUEST: Only = Only(RefCell::new(Guest::new()));

// Natively each thread has one: tests run side by side.
#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static GUEST: RefCell<Guest> = RefCell::new(Guest::new());
}

/// Callbacks are never called from inside it.
fn with<R>(f: impl FnOnce(&mut Guest) -> R) -> R {
    let inside = |guest: &RefCell<Guest>| match guest.try_borrow_mut() {
        Ok(mut g) => f(&mut g),
        Err(_) => fault("the SDK was called from inside itself"),
    };
    #[cfg(target_arch = "wasm32")]
    return inside(&GUEST.0);
    #[cfg(not(target_arch = "wasm32"))]
    return GUEST.with(inside);
}

/// Ends the instance. (Formatting, which panic! brings along, is large.)
fn fault(text: &'static str) -> ! {
    std::panic::panic_any(text)
}

/// Logs `what, connection HANDLE: why`, without std's formatting, which is large.
/// Where even that fails there is nobody left to tell.
fn report(level: Level, what: &str, conn: i32, why: &str) {
    let mut text = String::from(what);
    text.push_str(", connection ");
    push_number(&mut text, conn as u32);
    text.push_str(": ");
    text.push_str(why);
    let _ = log(level, &text);
}

/// Appends digits.
pub fn push_number(text: &mut String, n: u32) {
    if n > 9 {
        push_number(text, n / 10);
    }
    text.push((b'0' + (n % 10) as u8) as char);
}

impl Guest {
    fn write(&mut self, conn: i32, p: &[u8]) -> i32 {
        let saving = self.saving;
        let c = match self.conns.get(conn) {
            Some(c) if !c.pending || c.lost => c,
            _ => return Status::NO_CONNECTION.0,
        };
        if saving {
            return Status::NOT_NOW.0;
        }
        let error = mem::take(&mut c.error);
        if error < 0 || p.is_empty() || c.drops() {
            return error;
        }
        if self.out_conn != conn {
            self.leave();
        }
        if p.len() >= LARGE || self.out.len() + p.len() > GATHER {
            return self.send(conn, p).min(0);
        }
        self.out_conn = conn;
        self.out.extend_from_slice(p);
        0
    }

    /// Sends what is gathered, which is for conn, and p behind it.
    fn send(&mut self, conn: i32, p: &[u8]) -> i32 {
        let n = match (self.out.is_empty(), p.is_empty()) {
            (true, _) => host::write(conn, p),
            (false, true) => host::write(conn, &self.out),
            (false, false) => host::write_sequence(conn, &[&self.out, p]),
        };
        self.out.clear();
        n
    }

    /// Ends a callback, or what it wrote to one connection.
    fn leave(&mut self) {
        let conn = mem::take(&mut self.out_conn);
        if self.out.is_empty() {
            return;
        }
        let n = self.send(conn, &[]);
        if n < 0 {
            if let Some(c) = self.conns.get(conn) {
                c.error = n;
            }
            report(Level::Warn, "write", conn, Status(n).text());
        }
    }

    /// Sends what was gathered before something that must come behind it.
    fn flush(&mut self, conn: i32) {
        if self.out_conn == conn {
            self.leave();
        }
    }
}

/// A connection, by its handle: a small value to copy and keep. Once the
/// connection has ended, every method answers [`Status::NO_CONNECTION`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transport(i32);

impl Transport {
    /// The number that the server knows the connection by.
    pub fn handle(self) -> i32 {
        self.0
    }

    /// Whether the connection is ending: nothing more is delivered then.
    pub fn disconnecting(self) -> bool {
        with(|g| g.conns.get(self.0).map_or(true, |c| c.closing || c.lost))
    }

    /// Whether nothing is to be delivered: of what comes between start_tls and
    /// handshake_completed, too.
    fn stopped(self) -> bool {
        with(|g| g.conns.get(self.0).map_or(true, |c| c.closing || c.lost || c.shaking))
    }

    /// Queues p, in order; never blocks. An error is that of this write or of an
    /// earlier callback's: TOO_BIG means that the connection held more than the
    /// server's hard limit and is being aborted. Who has much to send looks at
    /// `flush`, or registers a producer. After `lose_connection` p is dropped.
    pub fn write(self, p: &[u8]) -> Result<()> {
        done(with(|g| g.write(self.0, p)))
    }

    /// Sends what was gathered: how many bytes the connection has queued.
    pub fn flush(self) -> Result<usize> {
        self.write(&[])?;
        with(|g| {
            if g.conns.get(self.0).map_or(true, |c| c.drops()) {
                return Ok(0);
            }
            if g.out_conn != self.0 {
                g.leave();
            }
            count(g.send(self.0, &[]))
        })
    }

    /// Makes a call that comes behind what was written, and notes what it did.
    fn then(self, call: impl FnOnce(i32) -> i32, note: impl FnOnce(&mut Conn)) -> Result<()> {
        with(|g| {
            g.flush(self.0);
            let status = call(self.0);
            if let (0, Some(c)) = (status, g.conns.get(self.0)) {
                note(c);
            }
            done(status)
        })
    }

    /// Stops reading, flushes, waits for a producer, closes.
    pub fn lose_connection(self) -> Result<()> {
        self.then(host::lose_connection, |c| c.closing = true)
    }

    /// Flushes, waits for a producer, closes our writing side.
    pub fn lose_write_connection(self) -> Result<()> {
        self.then(host::lose_write_connection, |c| c.half = true)
    }

    /// Drops the output and resets.
    pub fn abort_connection(self) -> Result<()> {
        with(|g| {
            if g.out_conn == self.0 {
                g.out.clear();
            }
        });
        self.then(host::abort_connection, |c| {
            c.closing = true;
            c.aborted = true;
        })
    }

    /// Stops reading.
    pub fn pause_producing(self) -> Result<()> {
        done(host::pause_producing(self.0))
    }

    /// Starts reading again.
    pub fn resume_producing(self) -> Result<()> {
        done(host::resume_producing(self.0))
    }

    /// The protocol makes output when it is asked to: streaming is true for a
    /// push producer. A second one is BUSY.
    pub fn register_producer(self, streaming: bool) -> Result<()> {
        self.then(|h| host::register_producer(h, streaming as i32), |c| c.producer = true)
    }

    pub fn unregister_producer(self) -> Result<()> {
        self.then(host::unregister_producer, |c| c.producer = false)
    }

    /// Bits of [`state`].
    pub fn state(self) -> Result<i32> {
        count(host::state(self.0)).map(|n| n as i32)
    }

    /// Closes after ms without a byte; 0 clears.
    pub fn set_timeout(self, ms: i32) -> Result<()> {
        done(host::set_timeout(self.0, ms))
    }

    pub fn set_tcp_no_delay(self, on: bool) -> Result<()> {
        done(host::set_tcp_no_delay(self.0, on as i32))
    }

    pub fn set_tcp_keep_alive(self, on: bool) -> Result<()> {
        done(host::set_tcp_keep_alive(self.0, on as i32))
    }

    /// Begins TLS as its server, behind what was written in plain text. What came in
    /// plain text behind the command that asks for it is no part of the encrypted
    /// session (RFC 3207, section 4.2): a framer drops all that it holds, and takes in
    /// nothing until `handshake_completed`. What the protocol itself has kept, or is just
    /// getting in `data_received`, is its own to forget. An error changes nothing: the
    /// connection goes on in plain text.
    pub fn start_tls(self) -> Result<()> {
        self.then(host::start_tls, |c| {
            c.tls = true;
            c.shaking = true;
        })
    }

    /// The remote endpoint, such as tcp://127.0.0.1:5000.
    pub fn peer(self) -> Result<String> {
        text(|b| host::get_peer(self.0, b))
    }

    /// Our endpoint.
    pub fn host(self) -> Result<String> {
        text(|b| host::get_host(self.0, b))
    }

    /// In `connection_lost`: why, in the server's words.
    pub fn reason_text(self) -> Result<String> {
        text(|b| host::reason(self.0, b))
    }

    /// The DER form of the peer's certificate.
    pub fn peer_certificate(self) -> Result<Vec<u8>> {
        bytes(|b| host::get_peer_certificate(self.0, b))
    }

    /// What ALPN agreed on.
    pub fn negotiated_protocol(self) -> Result<String> {
        text(|b| host::negotiated_protocol(self.0, b))
    }

    /// Calls the protocol's `delayed_call` after ms, unless the connection ends
    /// before; 0 is the loop's next turn.
    pub fn call_later(self, ms: i32) -> Result<Timer> {
        let handle = count(host::call_later(ms))? as i32;
        Ok(self.restore_call(handle))
    }

    /// For `restore_state`: a timer moves under its handle, to this protocol.
    pub fn restore_call(self, handle: i32) -> Timer {
        with(|g| {
            g.timers.insert(handle, Call::Protocol(self.0));
            if let Some(c) = g.conns.get(self.0) {
                c.timers.push(handle);
            }
        });
        Timer(handle)
    }
}

/// Asks a getter, again if the first buffer was too small.
fn bytes(mut get: impl FnMut(&mut [u8]) -> i32) -> Result<Vec<u8>> {
    let mut buf = vec![0; 128];
    loop {
        let n = count(get(&mut buf))?;
        let fits = n <= buf.len();
        buf.resize(n, 0);
        if fits {
            return Ok(buf);
        }
    }
}

fn text(get: impl FnMut(&mut [u8]) -> i32) -> Result<String> {
    bytes(get).map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// A call to come, by its handle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timer(i32);

impl Timer {
    /// The number that the server knows the timer by, for `save_state`.
    pub fn handle(self) -> i32 {
        self.0
    }

    pub fn cancel(self) -> Result<()> {
        with(|g| {
            if g.timers.get(self.0).is_none() {
                return Err(Status::NO_TIMER);
            }
            let status = host::cancel(self.0);
            if status == 0 || Status(status) == Status::NO_TIMER {
                g.forget(self.0);
            }
            done(status)
        })
    }

    /// Makes it due at ms from now.
    pub fn reset(self, ms: i32) -> Result<()> {
        with(|g| if g.timers.get(self.0).is_some() { done(host::reset(self.0, ms)) } else { Err(Status::NO_TIMER) })
    }
}

impl Guest {
    fn forget(&mut self, timer: i32) -> Option<Call> {
        let call = self.timers.remove(timer)?;
        if let Call::Protocol(conn) = call {
            if let Some(c) = self.conns.get(conn) {
                c.timers.retain(|t| *t != timer);
            }
        }
        Some(call)
    }
}

/// Calls f once, after ms; it may outlive the connection that made it.
pub fn call_later(ms: i32, f: impl FnOnce() + 'static) -> Result<Timer> {
    let handle = count(host::call_later(ms))? as i32;
    Ok(restore_call(handle, f))
}

/// For `restore_state`: a timer moves under its handle, and f takes its call over.
pub fn restore_call(handle: i32, f: impl FnOnce() + 'static) -> Timer {
    with(|g| g.timers.insert(handle, Call::Function(Box::new(f))));
    Timer(handle)
}

/// The reactor's clock, monotonic.
pub fn seconds() -> f64 {
    host::seconds()
}

/// Opens a connection to a text endpoint such as tcp://127.0.0.1:5432 within ms
/// (0: the server's own). `connection_made` or `client_connection_failed` follows;
/// until then lose_connection cancels, and writes are NO_CONNECTION.
pub fn connect(endpoint: &str, ms: i32, p: Box<dyn Protocol>) -> Result<Transport> {
    let handle = count(host::connect(endpoint.as_bytes(), ms))? as i32;
    with(|g| g.conns.insert(handle, Conn::new(Some(p), true)));
    Ok(Transport(handle))
}

/// Writes a line to the server's log.
pub fn log(level: Level, text: &str) -> Result<()> {
    done(host::emit(level as i32, text.as_bytes()))
}

/// The plugin's config section, as JSON.
pub fn config_json() -> Result<String> {
    text(host::config)
}

/// The exports of the ABI, called by the server and by [`testing`].
mod exports {
    use super::*;

    /// Runs a callback of a connection's protocol.
    fn call(conn: i32, f: &mut dyn FnMut(&mut dyn Protocol, Transport)) {
        let taken = with(|g| g.conns.get(conn).and_then(|c| c.protocol.take()));
        let mut p = match taken {
            Some(p) => p,
            None => fault("the server named a connection that this instance does not have"),
        };
        f(&mut *p, Transport(conn));
        with(|g| {
            if let Some(c) = g.conns.get(conn) {
                c.protocol = Some(p);
            }
            g.leave();
        });
    }

    fn note(conn: i32, f: impl FnOnce(&mut Conn)) {
        with(|g| g.conns.get(conn).map(f));
    }

    fn factory<R>(f: impl FnOnce(&mut dyn Factory) -> R) -> R {
        let mut factory = match with(|g| g.factory.take()) {
            Some(factory) => factory,
            None => fault("no factory"),
        };
        let r = f(&mut *factory);
        with(|g| g.factory = Some(factory));
        r
    }

    /// Forgets an ended connection.
    fn end(conn: i32) {
        let timers = with(|g| g.conns.get(conn).map(|c| mem::take(&mut c.timers)));
        for t in timers.unwrap_or_default() {
            if let Err(status) = Timer(t).cancel() {
                report(Level::Warn, "cancel of a timer", conn, status.text());
            }
        }
        let ended = with(|g| {
            g.leave();
            g.conns.remove(conn)
        });
        drop(ended); // outside: a protocol may have a Drop that calls the SDK
    }

    /// The factory's making comes first.
    pub fn set_factory(f: Box<dyn Factory>) {
        with(|g| g.factory = Some(f));
    }

    pub fn start_factory() -> i32 {
        let started = factory(|f| f.start());
        with(|g| g.leave());
        if let Err(text) = &started {
            let _ = log(Level::Error, text);
        }
        started.is_err() as i32
    }

    pub fn stop_factory() {
        factory(|f| f.stop());
        with(|g| g.leave());
    }

    pub fn log_prefix() -> &'static str {
        factory(|f| f.log_prefix())
    }

    fn attach(conn: i32, pending: bool, client: bool) -> bool {
        with(|g| g.conns.insert(conn, Conn::new(None, pending)));
        let t = Transport(conn);
        let p = factory(|f| if client { f.build_client_protocol(t) } else { f.build_protocol(t) });
        let made = p.is_some();
        note(conn, |c| c.protocol = p);
        if !made {
            end(conn);
        }
        made
    }

    pub fn build_protocol(conn: i32) -> i32 {
        let made = attach(conn, false, false);
        with(|g| g.leave());
        !made as i32
    }

    pub fn connection_made(conn: i32) {
        note(conn, |c| c.pending = false);
        call(conn, &mut |p, t| p.connection_made(t));
    }

    pub fn data_received(conn: i32, data: &[u8]) {
        call(conn, &mut |p, t| p.data_received(t, data));
    }

    pub fn connection_lost(conn: i32, why: i32) {
        note(conn, |c| c.lost = true);
        call(conn, &mut |p, t| p.connection_lost(t, Reason(why)));
        end(conn);
    }

    pub fn client_connection_failed(conn: i32, why: i32) {
        note(conn, |c| c.lost = true);
        call(conn, &mut |p, t| p.client_connection_failed(t, Reason(why)));
        end(conn);
    }

    pub fn read_connection_lost(conn: i32) {
        call(conn, &mut |p, t| p.read_connection_lost(t));
    }

    pub fn write_connection_lost(conn: i32) {
        call(conn, &mut |p, t| p.write_connection_lost(t));
    }

    pub fn handshake_completed(conn: i32) {
        note(conn, |c| c.shaking = false);
        call(conn, &mut |p, t| p.handshake_completed(t));
    }

    /// A call that crossed with `unregister_producer` is no news.
    fn produces(conn: i32) -> bool {
        with(|g| g.conns.get(conn).map_or(false, |c| c.producer))
    }

    pub fn pause_producing(conn: i32) {
        if produces(conn) {
            call(conn, &mut |p, t| p.pause_producing(t));
        }
    }

    pub fn resume_producing(conn: i32) {
        if produces(conn) {
            call(conn, &mut |p, t| p.resume_producing(t));
        }
    }

    pub fn stop_producing(conn: i32) {
        if produces(conn) {
            note(conn, |c| c.producer = false);
            call(conn, &mut |p, t| p.stop_producing(t));
        }
    }

    pub fn delayed_call(timer: i32) {
        match with(|g| g.forget(timer)) {
            Some(Call::Protocol(conn)) => call(conn, &mut |p, t| p.delayed_call(t, Timer(timer))),
            Some(Call::Function(f)) => {
                f();
                with(|g| g.leave());
            }
            None => {
                let _ = log(Level::Warn, "a timer is due and has no call: restore_state did not claim it");
            }
        }
    }

    pub fn state_version() -> i32 {
        factory(|f| f.state_version())
    }

    pub fn save_state(conn: i32) -> Option<Vec<u8>> {
        with(|g| g.saving = true);
        let mut saved = None;
        if conn == 0 {
            saved = factory(|f| f.save_state());
        } else {
            call(conn, &mut |p, _| saved = p.save_state());
        }
        with(|g| g.saving = false);
        saved
    }

    fn restore_one(conn: i32, version: i32, state: &[u8]) -> std::result::Result<(), String> {
        if conn == 0 {
            return factory(|f| f.restore_state(version, state));
        }
        // One that is still connecting answers getters with NO_CONNECTION.
        let bits = host::state(conn);
        if !attach(conn, bits < 0, bits < 0 || bits & state::OUTGOING != 0) {
            return Err("the factory builds no protocol for it".into());
        }
        if bits > 0 {
            note(conn, |c| {
                c.closing = bits & state::CLOSING != 0;
                c.half = bits & state::WRITE_CLOSED != 0;
                c.producer = bits & state::PRODUCER != 0;
            });
        }
        let mut restored = Ok(());
        with(|g| g.restoring = conn);
        call(conn, &mut |p, t| restored = p.restore_state(t, version, state));
        with(|g| g.restoring = 0);
        if restored.is_err() {
            end(conn);
        }
        restored
    }

    pub fn restore_state(conn: i32, version: i32, state: &[u8]) -> i32 {
        let restored = restore_one(conn, version, state);
        with(|g| g.leave());
        if let Err(text) = &restored {
            report(Level::Error, "restore", conn, text);
        }
        restored.is_err() as i32
    }
}

#[cfg(target_arch = "wasm32")]
#[allow(non_snake_case)]
mod guest {
    use super::*;

    fn pack(b: &[u8]) -> i64 {
        if b.is_empty() {
            0
        } else {
            (b.as_ptr() as i64) << 32 | b.len() as i64
        }
    }

    /// The bytes at ptr, which the server put into a buffer of ours.
    unsafe fn given<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
        if len == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(ptr, len)
        }
    }

    #[no_mangle]
    extern "C" fn abi_version_1() {}

    /// The first call of all. A panic's words go to the log; the trap follows.
    #[no_mangle]
    extern "C" fn receiveBuffer() -> i64 {
        std::panic::set_hook(Box::new(|info| {
            let mut text = String::from("panicked at ");
            if let Some(at) = info.location() {
                text.push_str(at.file());
                text.push(':');
                push_number(&mut text, at.line());
                text.push_str(": ");
            }
            if let Some(words) = info.payload().downcast_ref::<&str>() {
                text.push_str(words);
            } else if let Some(words) = info.payload().downcast_ref::<String>() {
                text.push_str(words);
            }
            let _ = log(Level::Error, &text);
        }));
        exports::set_factory(crate::wirehost_factory());
        with(|g| {
            g.receive = vec![0; 64 << 10];
            pack(&g.receive)
        })
    }

    #[no_mangle]
    extern "C" fn dataReceived(conn: i32, ptr: *const u8, len: usize) {
        exports::data_received(conn, unsafe { given(ptr, len) });
    }

    #[no_mangle]
    extern "C" fn logPrefix() -> i64 {
        pack(exports::log_prefix().as_bytes())
    }

    #[no_mangle]
    extern "C" fn saveState(conn: i32) -> i64 {
        let saved = exports::save_state(conn);
        with(|g| match saved {
            None => -1,
            Some(b) => {
                g.saved = b; // read by the server after this call
                pack(&g.saved)
            }
        })
    }

    #[no_mangle]
    extern "C" fn restoreBuffer(len: usize) -> *mut u8 {
        let mut room = Vec::new();
        if room.try_reserve_exact(len).is_err() {
            return std::ptr::null_mut();
        }
        room.resize(len, 0);
        with(|g| {
            g.restore = room;
            g.restore.as_mut_ptr()
        })
    }

    #[no_mangle]
    extern "C" fn restoreState(conn: i32, version: i32, ptr: *const u8, len: usize) -> i32 {
        let status = exports::restore_state(conn, version, unsafe { given(ptr, len) });
        with(|g| g.restore = Vec::new());
        status
    }

    macro_rules! exported {
        ($($name:ident($($arg:ident),*) $(-> $result:ty)? = $to:ident;)*) => {
            $(#[no_mangle] extern "C" fn $name($($arg: i32),*) $(-> $result)? { exports::$to($($arg),*) })*
        };
    }

    exported! {
        startFactory() -> i32 = start_factory;
        stopFactory() = stop_factory;
        buildProtocol(conn) -> i32 = build_protocol;
        connectionMade(conn) = connection_made;
        connectionLost(conn, reason) = connection_lost;
        clientConnectionFailed(conn, reason) = client_connection_failed;
        readConnectionLost(conn) = read_connection_lost;
        writeConnectionLost(conn) = write_connection_lost;
        handshakeCompleted(conn) = handshake_completed;
        pauseProducing(conn) = pause_producing;
        resumeProducing(conn) = resume_producing;
        stopProducing(conn) = stop_producing;
        delayedCall(timer) = delayed_call;
        stateVersion() -> i32 = state_version;
    }
}

/// Blocks of 2^k bytes; a freed one waits in its class's list for the next of its
/// size. std's own allocator is 8 KB of code.
#[cfg(target_arch = "wasm32")]
mod memory {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::UnsafeCell;

    struct Classes {
        freed: [usize; 32],
        top: usize, // free memory behind all blocks
        limit: usize,
    }

    struct Allocator(UnsafeCell<Classes>);

    // There is one thread.
    unsafe impl Sync for Allocator {}

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator(UnsafeCell::new(Classes { freed: [0; 32], top: 0, limit: 0 }));

    const PAGE: usize = 65536;

    fn class(size: usize, align: usize) -> u32 {
        usize::BITS - (size.max(align).max(16) - 1).leading_zeros()
    }

    impl Classes {
        /// Room for a block, aligned to its size, but to no more than a page: 0
        /// without memory.
        fn fresh(&mut self, size: usize) -> usize {
            let align = size.min(PAGE);
            let mut start = (self.top + align - 1) & !(align - 1);
            if start > self.limit || self.limit - start < size {
                let pages = (size + PAGE - 1) / PAGE;
                let old = core::arch::wasm32::memory_grow(0, pages);
                if old == usize::MAX {
                    return 0;
                }
                start = old * PAGE; // less than size stays unused behind top
                self.limit = start + pages * PAGE;
            }
            self.top = start + size;
            start
        }
    }

    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, l: Layout) -> *mut u8 {
            let k = class(l.size(), l.align());
            if k > 30 {
                return core::ptr::null_mut();
            }
            let c = &mut *self.0.get();
            let block = c.freed[k as usize];
            if block == 0 {
                return c.fresh(1 << k) as *mut u8;
            }
            c.freed[k as usize] = *(block as *const usize);
            block as *mut u8
        }

        unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
            let k = class(l.size(), l.align()) as usize;
            let c = &mut *self.0.get();
            *(p as *mut usize) = c.freed[k];
            c.freed[k] = p as usize;
        }

        unsafe fn realloc(&self, p: *mut u8, l: Layout, size: usize) -> *mut u8 {
            if class(l.size(), l.align()) == class(size, l.align()) {
                return p;
            }
            let to = self.alloc(Layout::from_size_align_unchecked(size, l.align()));
            if !to.is_null() {
                core::ptr::copy_nonoverlapping(p, to, l.size().min(size));
                self.dealloc(p, l);
            }
            to
        }
    }
}

/// The imports of the ABI.
#[cfg(target_arch = "wasm32")]
mod host {
    mod raw {
        #[link(wasm_import_module = "transport")]
        extern "C" {
            pub fn write(conn: i32, ptr: *const u8, len: usize) -> i32;
            pub fn writeSequence(conn: i32, iov: *const [usize; 2], n: usize) -> i32;
            pub fn loseConnection(conn: i32) -> i32;
            pub fn loseWriteConnection(conn: i32) -> i32;
            pub fn abortConnection(conn: i32) -> i32;
            #[link_name = "pauseProducing"]
            pub fn pause(conn: i32) -> i32;
            #[link_name = "resumeProducing"]
            pub fn resume(conn: i32) -> i32;
            pub fn registerProducer(conn: i32, streaming: i32) -> i32;
            pub fn unregisterProducer(conn: i32) -> i32;
            pub fn state(conn: i32) -> i32;
            pub fn setTimeout(conn: i32, ms: i32) -> i32;
            pub fn getPeer(conn: i32, buf: *mut u8, cap: usize) -> i32;
            pub fn getHost(conn: i32, buf: *mut u8, cap: usize) -> i32;
            pub fn reason(conn: i32, buf: *mut u8, cap: usize) -> i32;
            pub fn setTcpNoDelay(conn: i32, on: i32) -> i32;
            pub fn setTcpKeepAlive(conn: i32, on: i32) -> i32;
            pub fn startTLS(conn: i32) -> i32;
            pub fn getPeerCertificate(conn: i32, buf: *mut u8, cap: usize) -> i32;
            pub fn negotiatedProtocol(conn: i32, buf: *mut u8, cap: usize) -> i32;
        }
        #[link(wasm_import_module = "reactor")]
        extern "C" {
            pub fn callLater(ms: i32) -> i32;
            pub fn cancel(timer: i32) -> i32;
            pub fn reset(timer: i32, ms: i32) -> i32;
            pub fn seconds() -> f64;
            #[link_name = "connect"]
            pub fn open(endpoint: *const u8, len: usize, ms: i32) -> i32;
        }
        #[link(wasm_import_module = "factory")]
        extern "C" {
            pub fn config(buf: *mut u8, cap: usize) -> i32;
        }
        #[link(wasm_import_module = "log")]
        extern "C" {
            pub fn emit(level: i32, ptr: *const u8, len: usize) -> i32;
        }
    }

    /// Makes safe functions of those that take numbers alone,
    macro_rules! numbers {
        ($($name:ident = $raw:ident($($arg:ident),*);)*) => {
            $(pub fn $name($($arg: i32),*) -> i32 { unsafe { raw::$raw($($arg),*) } })*
        };
    }

    /// and of getters.
    macro_rules! getters {
        ($($name:ident = $raw:ident;)*) => {
            $(pub fn $name(conn: i32, b: &mut [u8]) -> i32 { unsafe { raw::$raw(conn, b.as_mut_ptr(), b.len()) } })*
        };
    }

    numbers! {
        lose_connection = loseConnection(conn);
        lose_write_connection = loseWriteConnection(conn);
        abort_connection = abortConnection(conn);
        pause_producing = pause(conn);
        resume_producing = resume(conn);
        register_producer = registerProducer(conn, streaming);
        unregister_producer = unregisterProducer(conn);
        state = state(conn);
        set_timeout = setTimeout(conn, ms);
        set_tcp_no_delay = setTcpNoDelay(conn, on);
        set_tcp_keep_alive = setTcpKeepAlive(conn, on);
        start_tls = startTLS(conn);
        call_later = callLater(ms);
        cancel = cancel(timer);
        reset = reset(timer, ms);
    }

    getters! {
        get_peer = getPeer;
        get_host = getHost;
        reason = reason;
        get_peer_certificate = getPeerCertificate;
        negotiated_protocol = negotiatedProtocol;
    }

    pub fn write(conn: i32, p: &[u8]) -> i32 {
        unsafe { raw::write(conn, p.as_ptr(), p.len()) }
    }

    pub fn write_sequence(conn: i32, parts: &[&[u8]; 2]) -> i32 {
        let iov = parts.map(|p| [p.as_ptr() as usize, p.len()]);
        unsafe { raw::writeSequence(conn, iov.as_ptr(), iov.len()) }
    }

    pub fn seconds() -> f64 {
        unsafe { raw::seconds() }
    }

    pub fn connect(endpoint: &[u8], ms: i32) -> i32 {
        unsafe { raw::open(endpoint.as_ptr(), endpoint.len(), ms) }
    }

    pub fn config(b: &mut [u8]) -> i32 {
        unsafe { raw::config(b.as_mut_ptr(), b.len()) }
    }

    pub fn emit(level: i32, p: &[u8]) -> i32 {
        unsafe { raw::emit(level, p.as_ptr(), p.len()) }
    }
}

// Framers. Names and limits are those of twisted.protocols.basic; after
// lose_connection they deliver nothing more.

/// What all framers hold.
#[derive(Default)]
struct Framing {
    held: Vec<u8>, // received, not delivered
    conn: i32,     // on which held came,
    tls: bool,     // and whether start_tls had been called then
    paused: bool,
    busy: bool, // delivering
}

impl Framing {
    /// Whether what is held came in plain text, and start_tls was called since.
    fn stale(&self) -> bool {
        !self.tls && Framing::started_tls(self.conn)
    }

    fn started_tls(conn: i32) -> bool {
        with(|g| g.conns.get(conn).map_or(false, |c| c.tls))
    }

    /// What is received and not delivered.
    fn held(&self) -> &[u8] {
        if self.stale() {
            &[]
        } else {
            &self.held
        }
    }

    /// For a restored state.
    fn set_held(&mut self, held: &[u8]) {
        self.held = held.to_vec();
        self.tls = false;
        self.conn = with(|g| g.restoring);
    }

    /// All that there is, if some of it was held; else nothing, and data is all.
    fn begin(&mut self, t: Transport, data: &[u8]) -> Vec<u8> {
        if mem::replace(&mut self.busy, true) {
            fault("a framer was called by what it delivers to");
        }
        let mut held = mem::take(&mut self.held);
        if !held.is_empty() && !self.tls && Framing::started_tls(t.0) {
            held.clear(); // it came in plain text
        }
        if !held.is_empty() {
            held.extend_from_slice(data);
        }
        held
    }

    /// Holds what is behind at. An idle connection holds no memory.
    fn end(&mut self, t: Transport, mut held: Vec<u8>, data: &[u8], at: usize) {
        self.busy = false;
        if held.is_empty() {
            self.held = data[at..].to_vec();
        } else if at < held.len() {
            held.drain(..at);
            self.held = held;
        }
        if !self.held.is_empty() {
            self.conn = t.0;
            self.tls = Framing::started_tls(t.0);
        }
    }
}

/// What a framer's step found at the front of the bytes.
enum Step {
    More,
    Frame { from: usize, to: usize, next: usize }, // [from, to) is delivered, next consumed
    Raw,
    TooLong(usize),      // a line: of that many bytes
    Limit(u32),          // a string: of that length
    Broken(&'static str), // the peer's fault
}

const PAUSED: u8 = 1;
const RAW: u8 = 2;

/// Appends a framer's part of a state: a byte of flags, the length of what is held
/// as an unsigned LEB128, and that. The other languages' SDKs write the same.
fn save(flags: u8, f: &Framing, out: &mut Vec<u8>) {
    out.push(flags | if f.paused { PAUSED } else { 0 });
    push_leb(out, f.held().len() as u64);
    out.extend_from_slice(f.held());
}

/// The inverse: flags and what follows.
fn restore<'a>(f: &mut Framing, state: &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (flags, rest) = state.split_first()?;
    let (len, rest) = take_leb(rest)?;
    if len > rest.len() as u64 {
        return None;
    }
    let (held, rest) = rest.split_at(len as usize);
    f.paused = flags & PAUSED != 0;
    f.set_held(held);
    Some((*flags, rest))
}

/// Appends an unsigned LEB128.
pub fn push_leb(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads an unsigned LEB128, and gives what follows it.
pub fn take_leb(b: &[u8]) -> Option<(u64, &[u8])> {
    let mut n = 0;
    for (i, byte) in b.iter().enumerate().take(10) {
        if i == 9 && *byte > 1 {
            return None;
        }
        n |= ((byte & 0x7f) as u64) << (7 * i);
        if *byte < 0x80 {
            return Some((n, &b[i + 1..]));
        }
    }
    None
}

/// The first of b in p: eight bytes at once.
fn find_byte(p: &[u8], b: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut eights = p.chunks_exact(8);
    let mut at = 0;
    for eight in &mut eights {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        let x = u64::from_le_bytes(word) ^ (ONES * b as u64);
        let zero = x.wrapping_sub(ONES) & !x & (ONES << 7); // where a byte of x is 0
        if zero != 0 {
            return Some(at + (zero.trailing_zeros() >> 3) as usize);
        }
        at += 8;
    }
    eights.remainder().iter().position(|x| *x == b).map(|i| at + i)
}

/// The first of needle, which is not empty, in p.
fn find(p: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut at = 0;
    loop {
        at += find_byte(p.get(at..)?, *first)?;
        if p[at + 1..].starts_with(rest) {
            return Some(at);
        }
        at += 1;
    }
}

/// Closes over a peer's fault.
fn close_for(t: Transport, fault: &'static str) {
    if let Err(status) = t.lose_connection() {
        report(Level::Warn, fault, t.0, status.text());
    }
}

/// Lines, and raw bytes between them: a field of a [`LineProtocol`]. delimiter and
/// max_length may be set at any time, for the lines that follow.
pub struct LineReceiver {
    pub delimiter: Vec<u8>,
    pub max_length: usize, // of a line without its delimiter
    framing: Framing,
    scanned: usize, // bytes in which no delimiter begins
    raw: bool,
    back: usize,   // bytes that set_line_mode gave back
    cleared: bool, // by clear_line_buffer
}

impl Default for LineReceiver {
    fn default() -> Self {
        LineReceiver::new(b"\r\n", LineReceiver::MAX_LENGTH)
    }
}

/// A protocol of lines: its `data_received` calls `LineReceiver::receive`.
pub trait LineProtocol {
    /// The framer, a field of the protocol.
    fn lines(&mut self) -> &mut LineReceiver;
    /// A line without its delimiter; it may be empty.
    fn line_received(&mut self, t: Transport, line: &[u8]);
    /// Bytes in raw mode, cut anywhere.
    fn raw_data_received(&mut self, _t: Transport, _data: &[u8]) {}
    /// The first max_length + delimiter bytes of a line that is too long; what
    /// follows is read as a new line. This one closes.
    fn line_length_exceeded(&mut self, t: Transport, _held: &[u8]) {
        close_for(t, "a line is too long")
    }
}

impl LineReceiver {
    pub const MAX_LENGTH: usize = 16384;

    pub fn new(delimiter: &[u8], max_length: usize) -> Self {
        LineReceiver {
            delimiter: delimiter.to_vec(),
            max_length,
            framing: Framing::default(),
            scanned: 0,
            raw: false,
            back: 0,
            cleared: false,
        }
    }

    /// Takes bytes apart into lines.
    pub fn receive<P: LineProtocol + ?Sized>(p: &mut P, t: Transport, data: &[u8]) {
        let held = p.lines().framing.begin(t, data);
        let all = if held.is_empty() { data } else { &held[..] };
        if held.is_empty() {
            p.lines().scanned = 0;
        }
        let mut at = 0;
        while !p.lines().framing.paused && !t.stopped() {
            let rest = &all[at..];
            match p.lines().step(rest) {
                Step::Frame { from, to, next } => {
                    at += next;
                    p.line_received(t, &rest[from..to]);
                }
                Step::Raw => {
                    at = all.len();
                    p.raw_data_received(t, rest);
                    at -= mem::take(&mut p.lines().back).min(rest.len());
                }
                Step::TooLong(n) => {
                    at += n;
                    p.line_length_exceeded(t, &rest[..n]);
                }
                _ => break,
            }
            if mem::take(&mut p.lines().cleared) {
                at = all.len();
            }
        }
        if t.stopped() {
            at = all.len();
        }
        p.lines().framing.end(t, held, data, at);
    }

    fn step(&mut self, rest: &[u8]) -> Step {
        if rest.is_empty() {
            return Step::More;
        }
        if self.raw {
            return Step::Raw;
        }
        let needle: &[u8] = if self.delimiter.is_empty() { b"\r\n" } else { &self.delimiter };
        // Whether a line is too long is decided on its first bytes, however they came:
        // where no delimiter ends in them, it can only be.
        let most = self.max_length + needle.len();
        let window = &rest[..most.min(rest.len())];
        let from = self.scanned.min(window.len());
        if let Some(i) = find(&window[from..], needle) {
            self.scanned = 0;
            return Step::Frame { from: 0, to: from + i, next: from + i + needle.len() };
        }
        if rest.len() >= most {
            self.scanned = 0;
            return Step::TooLong(most);
        }
        self.scanned = (window.len() + 1).saturating_sub(needle.len());
        Step::More
    }

    /// What follows goes to `raw_data_received`.
    pub fn set_raw_mode(&mut self) {
        self.raw = true;
        self.scanned = 0;
    }

    /// Back to lines. extra is how many bytes at the end of what `raw_data_received`
    /// got are not its own.
    pub fn set_line_mode(&mut self, extra: usize) {
        self.raw = false;
        self.scanned = 0;
        self.back = extra;
    }

    pub fn raw_mode(&self) -> bool {
        self.raw
    }

    /// Drops what is received and not delivered.
    pub fn clear_line_buffer(&mut self) {
        self.scanned = 0;
        self.framing.held = Vec::new();
        self.cleared = self.framing.busy;
    }

    /// Writes a line and the delimiter.
    pub fn send_line(&self, t: Transport, line: &[u8]) -> Result<()> {
        t.write(line)?;
        t.write(if self.delimiter.is_empty() { b"\r\n" } else { &self.delimiter })
    }

    /// Stops the delivery at once, in the middle of what was received too.
    pub fn pause_producing(&mut self, t: Transport) -> Result<()> {
        self.framing.paused = true;
        t.pause_producing()
    }

    /// Goes on, with what was received first.
    pub fn resume_producing<P: LineProtocol + ?Sized>(p: &mut P, t: Transport) -> Result<()> {
        p.lines().framing.paused = false;
        let status = t.resume_producing();
        if !p.lines().framing.busy {
            LineReceiver::receive(p, t, &[]);
        }
        status
    }

    /// What is received and not delivered.
    pub fn held(&self) -> &[u8] {
        self.framing.held()
    }

    /// For `restore_state`: the half line of the version before.
    pub fn set_held(&mut self, half: &[u8]) {
        self.framing.set_held(half);
        self.scanned = 0;
    }

    /// Appends the framer's part of a state.
    pub fn save_state(&self, out: &mut Vec<u8>) {
        save(if self.raw { RAW } else { 0 }, &self.framing, out);
    }

    /// Its inverse: what follows, or None if the bytes are no such state.
    pub fn restore_state<'a>(&mut self, state: &'a [u8]) -> Option<&'a [u8]> {
        let (flags, rest) = restore(&mut self.framing, state)?;
        self.raw = flags & RAW != 0;
        self.scanned = 0;
        Some(rest)
    }
}

/// Strings with their length in front: a field of a [`StringProtocol`].
pub struct StringReceiver {
    pub max_length: usize,
    prefix: usize, // bytes of the length; 0: a netstring
    framing: Framing,
}

/// A protocol of strings: its `data_received` calls `StringReceiver::receive`.
pub trait StringProtocol {
    /// The framer, a field of the protocol.
    fn strings(&mut self) -> &mut StringReceiver;
    fn string_received(&mut self, t: Transport, s: &[u8]);
    /// An IntN string is longer than max_length; it closes when this returns.
    fn length_limit_exceeded(&mut self, _t: Transport, _length: u32) {}
}

impl StringReceiver {
    pub const MAX_LENGTH: usize = 99999;

    fn new(prefix: usize) -> Self {
        StringReceiver { max_length: StringReceiver::MAX_LENGTH, prefix, framing: Framing::default() }
    }

    /// Netstrings, `3:abc,` (Twisted's NetstringReceiver).
    pub fn netstring() -> Self {
        StringReceiver::new(0)
    }

    /// A big-endian length of one byte in front (Twisted's Int8StringReceiver).
    pub fn int8() -> Self {
        StringReceiver::new(1)
    }

    pub fn int16() -> Self {
        StringReceiver::new(2)
    }

    pub fn int32() -> Self {
        StringReceiver::new(4)
    }

    /// Takes bytes apart into strings.
    pub fn receive<P: StringProtocol + ?Sized>(p: &mut P, t: Transport, data: &[u8]) {
        let held = p.strings().framing.begin(t, data);
        let all = if held.is_empty() { data } else { &held[..] };
        let mut at = 0;
        while !p.strings().framing.paused && !t.stopped() {
            let rest = &all[at..];
            match p.strings().step(rest) {
                Step::Frame { from, to, next } => {
                    at += next;
                    p.string_received(t, &rest[from..to]);
                }
                Step::Limit(length) => {
                    p.length_limit_exceeded(t, length);
                    if !t.disconnecting() {
                        close_for(t, "a string is too long"); // what follows has no frame any more
                    }
                }
                Step::Broken(words) => close_for(t, words),
                _ => break,
            }
        }
        if t.stopped() {
            at = all.len();
        }
        p.strings().framing.end(t, held, data, at);
    }

    fn step(&self, rest: &[u8]) -> Step {
        if self.prefix == 0 {
            return self.step_netstring(rest);
        }
        let mut length: u32 = 0;
        match rest.get(..self.prefix) {
            Some(prefix) => prefix.iter().for_each(|b| length = length << 8 | *b as u32),
            None => return Step::More,
        }
        if length as usize > self.max_length {
            return Step::Limit(length);
        }
        let to = self.prefix + length as usize;
        if rest.len() < to {
            return Step::More;
        }
        Step::Frame { from: self.prefix, to, next: to }
    }

    /// Fails at the first byte that is wrong.
    fn step_netstring(&self, rest: &[u8]) -> Step {
        let mut size: usize = 0;
        for (i, b) in rest.iter().enumerate() {
            match b {
                b':' if i > 0 => {
                    let (from, to) = (i + 1, i + 1 + size);
                    return match rest.get(to) {
                        None => Step::More,
                        Some(b',') => Step::Frame { from, to, next: to + 1 },
                        Some(_) => Step::Broken("a netstring has no comma"),
                    };
                }
                b'0'..=b'9' if i > 0 && size == 0 => return Step::Broken("a netstring's length begins with 0"),
                b'0'..=b'9' => {
                    size = size.saturating_mul(10).saturating_add((b - b'0') as usize);
                    if size > self.max_length {
                        return Step::Broken("a netstring is too long");
                    }
                }
                _ => return Step::Broken("a netstring's length is no number"),
            }
        }
        Step::More
    }

    /// Writes a string with its length. TOO_BIG: the length does not fit its prefix.
    pub fn send_string(&self, t: Transport, s: &[u8]) -> Result<()> {
        if self.prefix == 0 {
            let mut digits = String::new();
            push_number(&mut digits, s.len() as u32);
            digits.push(':');
            t.write(digits.as_bytes())?;
            t.write(s)?;
            return t.write(b",");
        }
        if s.len() as u64 >> (8 * self.prefix) > 0 {
            return Err(Status::TOO_BIG);
        }
        t.write(&(s.len() as u32).to_be_bytes()[4 - self.prefix..])?;
        t.write(s)
    }

    /// Stops the delivery at once, in the middle of what was received too.
    pub fn pause_producing(&mut self, t: Transport) -> Result<()> {
        self.framing.paused = true;
        t.pause_producing()
    }

    /// Goes on, with what was received first.
    pub fn resume_producing<P: StringProtocol + ?Sized>(p: &mut P, t: Transport) -> Result<()> {
        p.strings().framing.paused = false;
        let status = t.resume_producing();
        if !p.strings().framing.busy {
            StringReceiver::receive(p, t, &[]);
        }
        status
    }

    /// Appends the framer's part of a state.
    pub fn save_state(&self, out: &mut Vec<u8>) {
        save(0, &self.framing, out);
    }

    /// Its inverse: what follows, or None if the bytes are no such state.
    pub fn restore_state<'a>(&mut self, state: &'a [u8]) -> Option<&'a [u8]> {
        restore(&mut self.framing, state).map(|(_, rest)| rest)
    }
}

/// A JSON value. A number is kept as it stands.
#[derive(Clone, PartialEq, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The plugin's config section. Take what there is; `finish` refuses the rest.
pub struct Config(Vec<(String, Json)>);

impl Config {
    /// Reads it from the server.
    pub fn read() -> std::result::Result<Config, String> {
        let text = config_json().map_err(|s| s.text().to_string())?;
        if text.trim().is_empty() {
            return Ok(Config(Vec::new()));
        }
        match Json::parse(&text) {
            Some(Json::Object(members)) => Ok(Config(members)),
            Some(Json::Null) => Ok(Config(Vec::new())),
            Some(_) => Err("config: wanted keys and values".into()),
            None => Err("config: is no JSON".into()),
        }
    }

    /// The value of a key, whatever it is.
    pub fn take(&mut self, key: &str) -> Option<Json> {
        let at = self.0.iter().position(|m| m.0 == key)?;
        Some(self.0.remove(at).1)
    }

    fn wanted<T>(key: &str, what: &str) -> std::result::Result<T, String> {
        Err(["config.", key, ": wanted ", what].concat())
    }

    pub fn text(&mut self, key: &str, default: &str) -> std::result::Result<String, String> {
        match self.take(key) {
            None => Ok(default.into()),
            Some(Json::Text(s)) => Ok(s),
            Some(_) => Config::wanted(key, "a text"),
        }
    }

    pub fn integer(&mut self, key: &str, default: i64) -> std::result::Result<i64, String> {
        match self.take(key) {
            None => Ok(default),
            Some(Json::Number(n)) => n.parse().or_else(|_| Config::wanted(key, "a whole number")),
            Some(_) => Config::wanted(key, "a whole number"),
        }
    }

    pub fn boolean(&mut self, key: &str, default: bool) -> std::result::Result<bool, String> {
        match self.take(key) {
            None => Ok(default),
            Some(Json::Bool(b)) => Ok(b),
            Some(_) => Config::wanted(key, "true or false"),
        }
    }

    pub fn finish(self) -> std::result::Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(m) => Err(["config.", &m.0, ": no such key"].concat()),
        }
    }
}

impl Json {
    /// Reads one value, to the end of text.
    pub fn parse(text: &str) -> Option<Json> {
        let mut p = Parser { text, at: 0 };
        let value = p.value(0)?;
        p.space();
        if p.at == text.len() {
            Some(value)
        } else {
            None
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, b: u8) -> Option<()> {
        if self.space()? != b {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        match self.space()? {
            _ if depth > 64 => None,
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'"' => self.string().map(Json::Text),
            b'[' => self.list(b']', |p| p.value(depth + 1)).map(Json::List),
            b'{' => self.list(b'}', |p| p.member(depth + 1)).map(Json::Object),
            _ => self.number(),
        }
    }

    fn member(&mut self, depth: usize) -> Option<(String, Json)> {
        self.space()?;
        let key = self.string()?;
        self.accept(b':')?;
        Some((key, self.value(depth)?))
    }

    fn list<T>(&mut self, end: u8, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.at += 1;
        let mut list = Vec::new();
        if self.accept(end).is_some() {
            return Some(list);
        }
        loop {
            list.push(one(self)?);
            if self.accept(end).is_some() {
                return Some(list);
            }
            self.accept(b',')?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let from = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let digits = self.text.get(from..self.at)?;
        if digits.bytes().any(|b| b.is_ascii_digit()) {
            Some(Json::Number(digits.into()))
        } else {
            None
        }
    }

    fn string(&mut self) -> Option<String> {
        self.accept(b'"')?;
        let mut s = String::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let end = rest.find(|c| c == '"' || c == '\\')?;
            s.push_str(rest.get(..end)?);
            self.at += end + 1;
            if rest.as_bytes().get(end) == Some(&b'"') {
                return Some(s);
            }
            let escape = self.byte()?;
            self.at += 1;
            s.push(match escape {
                b'"' | b'\\' | b'/' => escape as char,
                b'b' => '\x08',
                b'f' => '\x0c',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return None,
            });
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let mut code = self.hex()?;
        if code >> 10 == 0xd800 >> 10 {
            self.accept(b'\\')?;
            self.accept(b'u')?;
            let low = self.hex()?;
            if low >> 10 != 0xdc00 >> 10 {
                return None;
            }
            code = 0x10000 + ((code & 0x3ff) << 10 | low & 0x3ff);
        }
        char::from_u32(code)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

/// Stands in for the server, so that a protocol is tested natively, with no WASM and
/// no socket. Output is collected, the clock stands until `advance`, and a connection
/// that was asked to close is lost when the callback has returned; TLS is up when the
/// one that called `start_tls` has. Each thread has one server: [`testing::start`]
/// begins anew.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use super::*;

    #[derive(Default)]
    struct Wire {
        output: Vec<u8>,
        state: i32,
        reason: i32,
        ended: bool,
        shaking: bool,
        endpoint: String,
    }

    #[derive(Default)]
    pub(super) struct World {
        wires: Vec<Wire>, // handle - 1
        due: Vec<Option<f64>>, // timer - 1: ms
        now: f64,
        calls: usize,
        config: String,
        log: Vec<String>,
    }

    thread_local! {
        static WORLD: RefCell<World> = RefCell::new(World::default());
    }

    fn world<R>(f: impl FnOnce(&mut World) -> R) -> R {
        WORLD.with(|w| f(&mut w.borrow_mut()))
    }

    fn wire<R>(conn: i32, f: impl FnOnce(&mut Wire) -> R) -> Option<R> {
        world(|w| w.wires.get_mut((conn as usize).wrapping_sub(1)).map(f))
    }

    /// Starts a server with a factory and its config section. An error: it refused,
    /// and this is what it logged.
    pub fn start(factory: impl Factory + 'static, config: &str) -> std::result::Result<(), String> {
        let old = with(|g| mem::replace(g, Guest::new()));
        drop(old);
        world(|w| {
            *w = World::default();
            w.config = config.into();
        });
        exports::set_factory(Box::new(factory));
        if exports::start_factory() == 0 {
            Ok(())
        } else {
            Err(log_lines().join("\n"))
        }
    }

    fn open(state: i32, endpoint: &str) -> i32 {
        world(|w| {
            w.wires.push(Wire { state, endpoint: endpoint.into(), ..Wire::default() });
            w.wires.len() as i32
        })
    }

    /// Completes handshakes, and loses the connections that are to close.
    fn settle() {
        for conn in 1..=world(|w| w.wires.len()) as i32 {
            if wire(conn, |w| mem::take(&mut w.shaking) && !w.ended && w.state & state::CLOSING == 0) == Some(true) {
                exports::handshake_completed(conn);
            }
            let lost = wire(conn, |w| {
                let lost = w.state & (state::CLOSING | state::PRODUCER) == state::CLOSING && !w.ended;
                w.ended |= lost;
                lost
            });
            if lost == Some(true) {
                exports::connection_lost(conn, wire(conn, |w| w.reason).unwrap_or(0));
            }
        }
    }

    /// A connection is accepted; None: the factory refuses it.
    pub fn accept() -> Option<Transport> {
        let conn = open(0, "");
        if exports::build_protocol(conn) != 0 {
            return None;
        }
        exports::connection_made(conn);
        settle();
        Some(Transport(conn))
    }

    /// The connections that were opened with `connect`, and not yet told of.
    pub fn endpoint(t: Transport) -> String {
        wire(t.0, |w| w.endpoint.clone()).unwrap_or_default()
    }

    /// An outgoing connection is made,
    pub fn made(t: Transport) {
        exports::connection_made(t.0);
        settle();
    }

    /// or is not.
    pub fn failed(t: Transport, why: Reason) {
        wire(t.0, |w| w.ended = true);
        exports::client_connection_failed(t.0, why.0);
    }

    /// The peer sends.
    pub fn send(t: Transport, data: &[u8]) {
        if !data.is_empty() && wire(t.0, |w| w.ended) == Some(false) {
            exports::data_received(t.0, data);
            settle();
        }
    }

    /// The peer closes its writing side.
    pub fn finish(t: Transport) {
        wire(t.0, |w| w.state |= state::PEER_CLOSED);
        exports::read_connection_lost(t.0);
        settle();
    }

    /// The connection is lost.
    pub fn lose(t: Transport, why: Reason) {
        wire(t.0, |w| {
            w.reason = why.0;
            w.state = w.state & !state::PRODUCER | state::CLOSING;
        });
        settle();
    }

    /// The output has emptied.
    pub fn drained(t: Transport) {
        exports::resume_producing(t.0);
        settle();
    }

    /// All that was written.
    pub fn output(t: Transport) -> Vec<u8> {
        wire(t.0, |w| w.output.clone()).unwrap_or_default()
    }

    /// Whether `connection_lost` was called.
    pub fn ended(t: Transport) -> bool {
        wire(t.0, |w| w.ended).unwrap_or(true)
    }

    /// How many writes reached the server.
    pub fn write_calls() -> usize {
        world(|w| w.calls)
    }

    pub fn log_lines() -> Vec<String> {
        world(|w| w.log.clone())
    }

    /// Turns the clock on by ms, and makes the calls that are due, in order.
    pub fn advance(ms: f64) {
        let until = world(|w| w.now + ms);
        loop {
            let next = world(|w| {
                let mut next = None;
                for (i, due) in w.due.iter().enumerate() {
                    match (*due, next) {
                        (Some(d), None) if d <= until => next = Some((i, d)),
                        (Some(d), Some((_, first))) if d < first => next = Some((i, d)),
                        _ => (),
                    }
                }
                let (i, due) = next?;
                w.now = w.now.max(due);
                w.due[i] = None;
                Some(i as i32 + 1)
            });
            match next {
                Some(timer) => exports::delayed_call(timer),
                None => break,
            }
            settle();
        }
        world(|w| w.now = until);
        settle();
    }

    /// Moves a connection's state to a new one: what a reload does. None: one of the
    /// two refused.
    pub fn reload(t: Transport, version: i32) -> Option<Transport> {
        let state = exports::save_state(t.0)?;
        let conn = open(wire(t.0, |w| w.state)?, "");
        if exports::restore_state(conn, version, &state) == 0 {
            Some(Transport(conn))
        } else {
            None
        }
    }

    /// The imports of the ABI.
    pub(super) mod host {
        use super::*;

        fn set(conn: i32, f: impl FnOnce(&mut Wire)) -> i32 {
            wire(conn, |w| if !w.ended { f(w) }).map_or(-1, |_| 0)
        }

        pub fn write(conn: i32, p: &[u8]) -> i32 {
            write_sequence(conn, &[p, &[]])
        }

        pub fn write_sequence(conn: i32, parts: &[&[u8]; 2]) -> i32 {
            world(|w| w.calls += 1);
            set(conn, |w| {
                if w.state & state::PRODUCER != 0 || w.state & (state::CLOSING | state::WRITE_CLOSED) == 0 {
                    w.output.extend_from_slice(&parts.concat());
                }
            })
        }

        pub fn lose_connection(conn: i32) -> i32 {
            set(conn, |w| w.state |= state::CLOSING)
        }

        pub fn lose_write_connection(conn: i32) -> i32 {
            set(conn, |w| w.state |= state::WRITE_CLOSED)
        }

        pub fn abort_connection(conn: i32) -> i32 {
            set(conn, |w| {
                w.state = w.state & !state::PRODUCER | state::CLOSING;
                w.reason = Reason::ABORTED.0;
            })
        }

        pub fn pause_producing(conn: i32) -> i32 {
            set(conn, |w| w.state |= state::PAUSED)
        }

        pub fn resume_producing(conn: i32) -> i32 {
            set(conn, |w| w.state &= !state::PAUSED)
        }

        pub fn register_producer(conn: i32, _streaming: i32) -> i32 {
            if wire(conn, |w| w.state & state::PRODUCER) == Some(state::PRODUCER) {
                return Status::BUSY.0;
            }
            set(conn, |w| w.state |= state::PRODUCER)
        }

        pub fn unregister_producer(conn: i32) -> i32 {
            set(conn, |w| w.state &= !state::PRODUCER)
        }

        pub fn state(conn: i32) -> i32 {
            wire(conn, |w| w.state).unwrap_or(-1)
        }

        pub fn set_timeout(conn: i32, ms: i32) -> i32 {
            if ms < 0 {
                -2
            } else {
                set(conn, |_| ())
            }
        }

        fn give(text: &str, b: &mut [u8]) -> i32 {
            if let Some(to) = b.get_mut(..text.len()) {
                to.copy_from_slice(text.as_bytes());
            }
            text.len() as i32
        }

        pub fn get_peer(_: i32, b: &mut [u8]) -> i32 {
            give("tcp://192.0.2.1:5000", b)
        }

        pub fn get_host(_: i32, b: &mut [u8]) -> i32 {
            give("tcp://192.0.2.2:7000", b)
        }

        pub fn reason(conn: i32, b: &mut [u8]) -> i32 {
            if wire(conn, |w| w.ended) == Some(true) {
                give("test", b)
            } else {
                -2
            }
        }

        pub fn get_peer_certificate(_: i32, b: &mut [u8]) -> i32 {
            give("", b)
        }

        pub fn negotiated_protocol(_: i32, b: &mut [u8]) -> i32 {
            give("", b)
        }

        pub fn set_tcp_no_delay(conn: i32, _: i32) -> i32 {
            set(conn, |_| ())
        }

        pub fn set_tcp_keep_alive(conn: i32, _: i32) -> i32 {
            set(conn, |_| ())
        }

        pub fn start_tls(conn: i32) -> i32 {
            if wire(conn, |w| w.state & state::TLS) == Some(state::TLS) {
                return Status::BUSY.0;
            }
            set(conn, |w| {
                w.state |= state::TLS;
                w.shaking = true;
            })
        }

        pub fn call_later(ms: i32) -> i32 {
            if ms < 0 {
                return -2;
            }
            world(|w| {
                w.due.push(Some(w.now + ms as f64));
                w.due.len() as i32
            })
        }

        fn timer(timer: i32, due: impl FnOnce(f64) -> Option<f64>) -> i32 {
            world(|w| match w.due.get_mut(timer as usize - 1) {
                Some(d) if d.is_some() => {
                    *d = due(w.now);
                    0
                }
                _ => Status::NO_TIMER.0,
            })
        }

        pub fn cancel(handle: i32) -> i32 {
            timer(handle, |_| None)
        }

        pub fn reset(handle: i32, ms: i32) -> i32 {
            timer(handle, |now| Some(now + ms as f64))
        }

        pub fn seconds() -> f64 {
            world(|w| w.now / 1000.0)
        }

        pub fn connect(endpoint: &[u8], _ms: i32) -> i32 {
            open(state::OUTGOING, &String::from_utf8_lossy(endpoint))
        }

        pub fn config(b: &mut [u8]) -> i32 {
            world(|w| give(&w.config, b))
        }

        pub fn emit(_level: i32, p: &[u8]) -> i32 {
            world(|w| w.log.push(String::from_utf8_lossy(p).into_owned()));
            0
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
use testing::host;
