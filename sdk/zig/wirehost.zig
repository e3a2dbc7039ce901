//! The SDK for protocols in Zig that run inside the wirehost server. Copy this file
//! into a project; it needs nothing but std. It speaks in the words of Twisted: a
//! factory names or builds a protocol for each connection, which answers through its
//! Transport.
//!
//!     const wirehost = @import("wirehost.zig");
//!
//!     const Echo = struct {
//!         pub fn dataReceived(_: *Echo, t: wirehost.Transport, data: []const u8) !void {
//!             try t.write(data);
//!         }
//!     };
//!
//!     comptime {
//!         wirehost.plugin(struct {
//!             pub const Protocol = Echo;
//!         });
//!     }
//!
//! A protocol is a struct with the functions that it needs, each returning void or
//! !void; all get *Self and the Transport. An error aborts the connection, and goes to
//! the log:
//!
//!     connectionMade(t)                first, before any byte is read
//!     dataReceived(t, data)            1 byte to 64 KiB of the stream, cut anywhere
//!     connectionLost(t, reason)        once, last
//!     clientConnectionFailed(t, reason)  after connect; nothing else comes
//!     readConnectionLost(t)            the peer closed its writing side; without it
//!                                      the output is flushed and the connection closed
//!     writeConnectionLost(t)           our writing side is closed
//!     handshakeCompleted(t)            TLS is up
//!     pauseProducing(t), resumeProducing(t), stopProducing(t)   after registerProducer
//!     delayedCall(t, timer)            a call of Transport.callLater is due
//!     saveState(out: *Bytes)           the state that a reload moves; an error declines
//!     restoreState(t, version, state)  in place of connectionMade; an error refuses
//!     deinit()                         after all of them
//!
//! A factory is a struct, made as .{} in each instance: by default one for each event
//! loop, so that what it remembers is shared by the connections of that loop; with
//! isolation shared in the plugin's configuration one serves all. It has
//!
//!     pub const Protocol               of accepted connections; made as .{}, or by
//!     buildProtocol(t) ?Protocol       where null refuses
//!     pub const ClientProtocol, buildClientProtocol(t)   of outgoing ones in a reload
//!     pub const log_prefix, state_version
//!     start(), stop()                  an error in start refuses to start
//!     saveState(out), restoreState(version, state)
//!
//! Callbacks run one after another on one thread, never one inside another. They must
//! not block. Bytes that they get are valid until they return. Small writes of a
//! callback are gathered and sent with one call to the server when it returns.
//!
//! Natively, `testing` stands in for the server: a protocol's tests are plain `zig test`.

const std = @import("std");
const builtin = @import("builtin");

const is_guest = builtin.target.cpu.arch.isWasm();

comptime { // what `wirehost inspect` shows
    if (is_guest) asm (
        \\.section .custom_section.wirehost_sdk,"",@
        \\.ascii "Zig 0.1.0"
    );
}

/// Whose memory the SDK takes. In tests it finds leaks.
pub const allocator: std.mem.Allocator = if (is_guest) std.heap.wasm_allocator else std.testing.allocator;

/// Bytes that grow; append with `allocator`.
pub const Bytes = std.ArrayList(u8);

/// What the server answers a call with that it refuses.
pub const Error = error{
    NoConnection, // no such connection, or it has ended
    Invalid, // bad argument
    TooBig, // over a limit
    NotAllowed, // the configuration does not allow it
    Busy, // already so
    NoTimer, // no such timer, or it has ended
    NotSupported, // not on this transport
    NotNow, // not in this callback
    UnknownStatus,
};

fn count(n: i32) Error!usize {
    return switch (n) {
        -1 => error.NoConnection,
        -2 => error.Invalid,
        -3 => error.TooBig,
        -4 => error.NotAllowed,
        -5 => error.Busy,
        -6 => error.NoTimer,
        -7 => error.NotSupported,
        -8 => error.NotNow,
        else => if (n < 0) error.UnknownStatus else @intCast(n),
    };
}

fn done(n: i32) Error!void {
    _ = try count(n);
}

/// Why a connection ended or could not be made.
pub const Reason = enum(i32) {
    done, // clean close by either side
    lost, // I/O error
    aborted, // by us
    timeout, // idle, connect, handshake or flush took too long
    tls_failure, // handshake or record error
    shutting_down, // the server shuts down
    replaced, // by a reload
    over_limit, // over a limit
    trapped, // the guest trapped
    refused, // connect: refused or unreachable
    no_such_host, // connect: the name does not resolve
    not_allowed, // connect: the address is not allowed
    _,
};

/// Bits of Transport.state.
pub const State = struct {
    pub const paused = 1; // reading is paused by us
    pub const peer_closed = 2; // the peer has closed its writing side
    pub const write_closed = 4; // our writing side is closed, or will be
    pub const closing = 8; // loseConnection was called
    pub const producer = 16; // a producer is registered
    pub const tls = 32; // TLS is on
    pub const outgoing = 64; // made by connect
};

pub const Level = enum(i32) { trace, debug, info, warn, err };

/// Writes a line to the server's log.
pub fn log(level: Level, text: []const u8) Error!void {
    try done(host.emit(@intFromEnum(level), text.ptr, text.len));
}

/// log with a format; 512 bytes at most.
pub fn logf(level: Level, comptime format: []const u8, args: anytype) Error!void {
    var buf: [512]u8 = undefined;
    try log(level, std.fmt.bufPrint(&buf, format, args) catch &buf);
}

/// Logs WHAT, connection HANDLE: WHY, without std.fmt, which is large. Where even that
/// fails there is nobody left to tell.
fn report(level: Level, what: []const u8, conn: i32, why: []const u8) void {
    var buf: [160]u8 = undefined;
    var digits: [10]u8 = undefined;
    var n: usize = 0;
    for ([_][]const u8{ what, ", connection ", decimal(&digits, @intCast(conn)), ": ", why }) |part| {
        const room = @min(part.len, buf.len - n);
        @memcpy(buf[n..][0..room], part[0..room]);
        n += room;
    }
    log(level, buf[0..n]) catch {};
}

/// The digits of n, in the end of buf.
pub fn decimal(buf: *[10]u8, n: u32) []const u8 {
    var at: usize = buf.len;
    var rest = n;
    while (true) {
        at -= 1;
        buf[at] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
        if (rest == 0) return buf[at..];
    }
}

/// `pub const panic = wirehost.panic;` in the root file sends a panic's words to the
/// log, before the trap.
pub const panic = std.debug.FullPanic(struct {
    fn say(words: []const u8, _: ?usize) noreturn {
        log(.err, words) catch {};
        @trap();
    }
}.say);

/// Entries by handle. Handles come in sequence, so their low bits spread well.
fn Table(comptime T: type) type {
    return struct {
        slots: []?*T = &.{},
        len: usize = 0,

        const Self = @This();

        fn place(self: *Self, handle: i32) *?*T {
            var at = &self.slots[@as(u32, @bitCast(handle)) & (self.slots.len - 1)];
            while (at.*) |e| : (at = &e.next) {
                if (e.handle == handle) break;
            }
            return at;
        }

        fn get(self: *Self, handle: i32) ?*T {
            return if (self.slots.len > 0) self.place(handle).* else null;
        }

        fn insert(self: *Self, e: *T) error{OutOfMemory}!void {
            if (self.len == self.slots.len) {
                var wide: Self = .{ .slots = try allocator.alloc(?*T, @max(4, 2 * self.slots.len)) };
                @memset(wide.slots, null);
                for (self.slots) |slot| {
                    var at = slot;
                    while (at) |moved| {
                        at = moved.next;
                        wide.put(moved);
                    }
                }
                allocator.free(self.slots);
                self.slots = wide.slots;
            }
            self.put(e);
            self.len += 1;
        }

        fn put(self: *Self, e: *T) void {
            const at = self.place(e.handle);
            e.next = null;
            at.* = e;
        }

        fn remove(self: *Self, e: *T) void {
            self.place(e.handle).* = e.next;
            self.len -= 1;
            if (self.len == 0 and !is_guest) { // so that tests see no leak
                allocator.free(self.slots);
                self.slots = &.{};
            }
        }
    };
}

const Conn = struct {
    next: ?*Conn = null,
    handle: i32,
    protocol: *anyopaque = undefined,
    calls: *const Calls = undefined,
    timers: ?*Call = null,
    err: ?Error = null, // of the last sending at the end of a callback
    pending: bool = false, // outgoing, and not made yet
    closing: bool = false, // loseConnection or abortConnection was called
    half: bool = false, // loseWriteConnection was called
    aborted: bool = false,
    lost: bool = false,
    producer: bool = false,
    tls: bool = false, // startTLS was called, in this instance
    shaking: bool = false, // and handshakeCompleted has not come

    /// Closing waits for a producer, so what is written while there is one counts.
    fn drops(c: *const Conn) bool {
        return c.lost or c.aborted or ((c.closing or c.half) and !c.producer);
    }
};

const Call = struct {
    next: ?*Call = null,
    handle: i32,
    conn: ?*Conn = null, // whose protocol is called, or
    next_of_conn: ?*Call = null,
    context: *anyopaque = undefined,
    function: *const fn (*anyopaque) void = undefined,
};

/// What can be done to a protocol.
const Event = union(enum) {
    made,
    data: []const u8,
    lost: Reason,
    failed: Reason,
    read_lost,
    write_lost,
    handshake,
    pause,
    go_on,
    stop,
    timer: Timer,
    save: *Bytes,
    restore: struct { version: i32, state: []const u8 },
    deinit,
};

/// A protocol's type, erased. false: it has no such function.
const Calls = struct {
    tell: *const fn (*anyopaque, Transport, Event) anyerror!bool,
    data: *const fn (*anyopaque, Transport, []const u8) anyerror!void,

    fn of(comptime P: type) *const Calls {
        const erased = struct {
            fn self(p: *anyopaque) *P {
                return @ptrCast(@alignCast(p));
            }

            fn data(p: *anyopaque, t: Transport, bytes: []const u8) anyerror!void {
                if (@hasDecl(P, "dataReceived")) try result(P.dataReceived(self(p), t, bytes));
            }

            fn tell(p: *anyopaque, t: Transport, event: Event) anyerror!bool {
                switch (event) {
                    .made => return maybe("connectionMade", .{ self(p), t }),
                    .data => unreachable,
                    .lost => |why| return maybe("connectionLost", .{ self(p), t, why }),
                    .failed => |why| return maybe("clientConnectionFailed", .{ self(p), t, why }),
                    .read_lost => return maybe("readConnectionLost", .{ self(p), t }),
                    .write_lost => return maybe("writeConnectionLost", .{ self(p), t }),
                    .handshake => return maybe("handshakeCompleted", .{ self(p), t }),
                    .pause => return maybe("pauseProducing", .{ self(p), t }),
                    .go_on => return maybe("resumeProducing", .{ self(p), t }),
                    .stop => return maybe("stopProducing", .{ self(p), t }),
                    .timer => |timer| return maybe("delayedCall", .{ self(p), t, timer }),
                    .save => |to| return maybe("saveState", .{ self(p), to }),
                    .restore => |r| return maybe("restoreState", .{ self(p), t, r.version, r.state }),
                    .deinit => {
                        _ = try maybe("deinit", .{self(p)});
                        if (@sizeOf(P) > 0) allocator.destroy(self(p));
                        return true;
                    },
                }
            }

            fn maybe(comptime name: []const u8, args: anytype) anyerror!bool {
                if (!@hasDecl(P, name)) return false;
                try result(@call(.auto, @field(P, name), args));
                return true;
            }

            const calls: Calls = .{ .tell = tell, .data = data };
        };
        return &erased.calls;
    }
};

/// Takes void and !void alike.
fn result(r: anytype) anyerror!void {
    if (@typeInfo(@TypeOf(r)) == .error_union) try r;
}

const large = 4 << 10; // bytes that are sent at once, from where they lie
const most = 64 << 10; // bytes that are gathered

/// The instance. There is one thread.
var conns: Table(Conn) = .{};
var timers: Table(Call) = .{};
var out: [most]u8 = undefined; // what this callback wrote
var out_len: usize = 0;
var out_conn: ?*Conn = null; // to whom
var saving: bool = false;
var restoring: i32 = 0; // the connection whose state is being restored

/// Sends what is gathered, which is for c, and p behind it.
fn send(c: *Conn, p: []const u8) i32 {
    const gathered = out_len;
    out_len = 0;
    if (gathered == 0) return host.write(c.handle, p.ptr, p.len);
    if (p.len == 0) return host.write(c.handle, &out, gathered);
    const both = [2]Part{ .{ .ptr = &out, .len = gathered }, .{ .ptr = p.ptr, .len = p.len } };
    return host.writeSequence(c.handle, &both, 2);
}

/// Of writeSequence.
pub const Part = extern struct { ptr: [*]const u8, len: usize };

/// Ends a callback, or what it wrote to one connection.
fn leave() void {
    const c = out_conn orelse return;
    out_conn = null;
    if (out_len == 0) return;
    done(send(c, "")) catch |err| {
        c.err = err;
        report(.warn, "write", c.handle, @errorName(err));
    };
}

/// A connection, by its handle: a small value to copy and keep. Once the connection
/// has ended, every function answers error.NoConnection.
pub const Transport = struct {
    handle: i32,

    fn conn(t: Transport) ?*Conn {
        return conns.get(t.handle);
    }

    /// Sends what was gathered, before something that must come behind it.
    fn flushed(t: Transport) void {
        if (out_conn) |c| if (c.handle == t.handle) leave();
    }

    fn check(t: Transport) Error!*Conn {
        const c = t.conn() orelse return error.NoConnection;
        if (c.pending and !c.lost) return error.NoConnection;
        if (saving) return error.NotNow;
        const err = c.err orelse return c;
        c.err = null;
        return err;
    }

    /// Whether the connection is ending: nothing more is delivered then.
    pub fn disconnecting(t: Transport) bool {
        const c = t.conn() orelse return true;
        return c.closing or c.lost;
    }

    /// Whether nothing is to be delivered: of what comes between startTLS and
    /// handshakeCompleted, too.
    fn stopped(t: Transport) bool {
        const c = t.conn() orelse return true;
        return c.closing or c.lost or c.shaking;
    }

    /// Queues p, in order; never blocks. An error is that of this write or of an
    /// earlier callback's: TooBig means that the connection held more than the
    /// server's hard limit and is being aborted. Who has much to send looks at flush,
    /// or registers a producer. After loseConnection p is dropped.
    pub fn write(t: Transport, p: []const u8) Error!void {
        const c = try t.check();
        if (p.len == 0 or c.drops()) return;
        if (out_conn != c) leave();
        if (p.len >= large or out_len + p.len > most) return done(send(c, p));
        out_conn = c;
        @memcpy(out[out_len..][0..p.len], p);
        out_len += p.len;
    }

    /// Sends what was gathered: how many bytes the connection has queued.
    pub fn flush(t: Transport) Error!usize {
        const c = try t.check();
        if (c.drops()) return 0;
        if (out_conn != c) leave();
        return count(send(c, ""));
    }

    /// Stops reading, flushes, waits for a producer, closes.
    pub fn loseConnection(t: Transport) Error!void {
        t.flushed();
        try done(host.loseConnection(t.handle));
        if (t.conn()) |c| c.closing = true;
    }

    /// Flushes, waits for a producer, closes our writing side.
    pub fn loseWriteConnection(t: Transport) Error!void {
        t.flushed();
        try done(host.loseWriteConnection(t.handle));
        if (t.conn()) |c| c.half = true;
    }

    /// Drops the output and resets.
    pub fn abortConnection(t: Transport) Error!void {
        if (out_conn) |c| if (c.handle == t.handle) {
            out_len = 0;
        };
        try done(host.abortConnection(t.handle));
        if (t.conn()) |c| {
            c.closing = true;
            c.aborted = true;
        }
    }

    /// Stops reading.
    pub fn pauseProducing(t: Transport) Error!void {
        try done(host.pauseProducing(t.handle));
    }

    /// Starts reading again.
    pub fn resumeProducing(t: Transport) Error!void {
        try done(host.resumeProducing(t.handle));
    }

    /// The protocol makes output when it is asked to: streaming is true for a push
    /// producer. A second one is error.Busy.
    pub fn registerProducer(t: Transport, streaming: bool) Error!void {
        t.flushed();
        try done(host.registerProducer(t.handle, @intFromBool(streaming)));
        if (t.conn()) |c| c.producer = true;
    }

    pub fn unregisterProducer(t: Transport) Error!void {
        t.flushed();
        if (t.conn()) |c| c.producer = false;
        try done(host.unregisterProducer(t.handle));
    }

    /// Bits of State.
    pub fn state(t: Transport) Error!usize {
        return count(host.state(t.handle));
    }

    /// Closes after ms without a byte; 0 clears.
    pub fn setTimeout(t: Transport, ms: i32) Error!void {
        try done(host.setTimeout(t.handle, ms));
    }

    pub fn setTcpNoDelay(t: Transport, on: bool) Error!void {
        try done(host.setTcpNoDelay(t.handle, @intFromBool(on)));
    }

    pub fn setTcpKeepAlive(t: Transport, on: bool) Error!void {
        try done(host.setTcpKeepAlive(t.handle, @intFromBool(on)));
    }

    /// Begins TLS as its server, behind what was written in plain text. What came in
    /// plain text behind the command that asks for it is no part of the encrypted
    /// session (RFC 3207, section 4.2): a framer drops all that it holds, and takes in
    /// nothing until handshakeCompleted. What the protocol itself has kept, or is just
    /// getting in dataReceived, is its own to forget. An error changes nothing: the
    /// connection goes on in plain text.
    pub fn startTLS(t: Transport) Error!void {
        t.flushed();
        try done(host.startTLS(t.handle));
        if (t.conn()) |c| {
            c.tls = true;
            c.shaking = true;
        }
    }

    /// The remote endpoint, such as tcp://127.0.0.1:5000, in buf. One that does not
    /// fit is error.TooBig; so with the others.
    pub fn peer(t: Transport, buf: []u8) Error![]u8 {
        return given(buf, host.getPeer(t.handle, buf.ptr, buf.len));
    }

    /// Our endpoint.
    pub fn getHost(t: Transport, buf: []u8) Error![]u8 {
        return given(buf, host.getHost(t.handle, buf.ptr, buf.len));
    }

    /// In connectionLost: why, in the server's words.
    pub fn reasonText(t: Transport, buf: []u8) Error![]u8 {
        return given(buf, host.reason(t.handle, buf.ptr, buf.len));
    }

    /// The DER form of the peer's certificate.
    pub fn peerCertificate(t: Transport, buf: []u8) Error![]u8 {
        return given(buf, host.getPeerCertificate(t.handle, buf.ptr, buf.len));
    }

    /// What ALPN agreed on.
    pub fn negotiatedProtocol(t: Transport, buf: []u8) Error![]u8 {
        return given(buf, host.negotiatedProtocol(t.handle, buf.ptr, buf.len));
    }

    /// Calls the protocol's delayedCall after ms, unless the connection ends before;
    /// 0 is the loop's next turn.
    pub fn callLater(t: Transport, ms: i32) (Error || error{OutOfMemory})!Timer {
        return t.restoreCall(@intCast(try count(host.callLater(ms))));
    }

    /// For restoreState: a timer moves under its handle, to this protocol.
    pub fn restoreCall(t: Transport, handle: i32) (Error || error{OutOfMemory})!Timer {
        const c = t.conn() orelse return error.NoConnection;
        const call = try newCall(.{ .handle = handle, .conn = c, .next_of_conn = c.timers });
        c.timers = call;
        return .{ .handle = handle };
    }
};

fn given(buf: []u8, n: i32) Error![]u8 {
    const len = try count(n);
    return if (len <= buf.len) buf[0..len] else error.TooBig;
}

fn newCall(call: Call) error{OutOfMemory}!*Call {
    const e = try allocator.create(Call);
    e.* = call;
    try timers.insert(e);
    return e;
}

/// A call to come, by its handle.
pub const Timer = struct {
    handle: i32,

    pub fn cancel(t: Timer) Error!void {
        const call = timers.get(t.handle) orelse return error.NoTimer;
        const status = host.cancel(t.handle);
        if (status >= 0) forget(call);
        try done(status);
    }

    /// Makes it due at ms from now.
    pub fn reset(t: Timer, ms: i32) Error!void {
        if (timers.get(t.handle) == null) return error.NoTimer;
        try done(host.reset(t.handle, ms));
    }
};

fn forget(call: *Call) void {
    if (call.conn) |c| {
        var at = &c.timers;
        while (at.*) |e| : (at = &e.next_of_conn) {
            if (e == call) {
                at.* = e.next_of_conn;
                break;
            }
        }
    }
    timers.remove(call);
    allocator.destroy(call);
}

/// Calls f(context) once, after ms; it may outlive the connection that made it.
/// context is a pointer that stays.
pub fn callLater(ms: i32, context: anytype, comptime f: fn (@TypeOf(context)) void) (Error || error{OutOfMemory})!Timer {
    return restoreCall(@intCast(try count(host.callLater(ms))), context, f);
}

/// For restoreState: a timer moves under its handle, and f takes its call over.
pub fn restoreCall(handle: i32, context: anytype, comptime f: fn (@TypeOf(context)) void) (Error || error{OutOfMemory})!Timer {
    const erased = struct {
        fn call(p: *anyopaque) void {
            f(@ptrCast(@alignCast(p)));
        }
    };
    _ = try newCall(.{ .handle = handle, .context = @ptrCast(context), .function = erased.call });
    return .{ .handle = handle };
}

/// The reactor's clock, monotonic.
pub fn seconds() f64 {
    return host.seconds();
}

/// Opens a connection to a text endpoint such as tcp://127.0.0.1:5432 within ms (0:
/// the server's own), for a protocol by value. connectionMade or clientConnectionFailed
/// follows; until then loseConnection cancels, and writes are error.NoConnection.
pub fn connect(endpoint: []const u8, ms: i32, protocol: anytype) (Error || error{OutOfMemory})!Transport {
    const handle: i32 = @intCast(try count(host.connect(endpoint.ptr, endpoint.len, ms)));
    const c = try newConn(handle, true);
    try join(c, protocol);
    return .{ .handle = handle };
}

fn newConn(handle: i32, pending: bool) error{OutOfMemory}!*Conn {
    const c = try allocator.create(Conn);
    c.* = .{ .handle = handle, .pending = pending };
    try conns.insert(c);
    return c;
}

fn join(c: *Conn, protocol: anytype) error{OutOfMemory}!void {
    const P = @TypeOf(protocol);
    const p = try allocator.create(P);
    p.* = protocol;
    c.protocol = p;
    c.calls = .of(P);
}

/// The plugin's config section as JSON, to be freed with allocator.
pub fn configJson() (Error || error{OutOfMemory})![]u8 {
    const size = try count(host.config(&out, 0));
    const text = try allocator.alloc(u8, size);
    errdefer allocator.free(text);
    _ = try count(host.config(text.ptr, size));
    return text;
}

/// Reads the config section into a T, whose fields have defaults. A key that T does
/// not have is an error, which is logged. What it points to is the caller's to free.
pub fn config(comptime T: type) !std.json.Parsed(T) {
    const text = try configJson();
    defer allocator.free(text);
    const empty = std.mem.trim(u8, text, " \t\r\n");
    const section = if (empty.len == 0 or std.mem.eql(u8, empty, "null")) "{}" else text;
    var where: std.json.Diagnostics = .{};
    var scanner = std.json.Scanner.initCompleteInput(allocator, section);
    defer scanner.deinit();
    scanner.enableDiagnostics(&where);
    return std.json.parseFromTokenSource(T, allocator, &scanner, .{ .allocate = .alloc_always }) catch |err| {
        const at: usize = @intCast(where.getByteOffset());
        var buf: [160]u8 = undefined;
        var n: usize = 0;
        for ([_][]const u8{ "config: ", @errorName(err), " behind ", section[0..@min(at, section.len)] }) |part| {
            const room = @min(part.len, buf.len - n);
            @memcpy(buf[n..][0..room], part[0..room]);
            n += room;
        }
        try log(.err, buf[0..n]);
        return err;
    };
}

/// Makes the exports of the ABI for a factory.
pub fn plugin(comptime Factory: type) void {
    const exports = Exports(Factory);
    const names = .{
        "abi_version_1",   "receiveBuffer",       "startFactory",           "stopFactory",      "buildProtocol",
        "connectionMade",  "dataReceived",        "connectionLost",         "readConnectionLost", "writeConnectionLost",
        "handshakeCompleted", "pauseProducing",   "resumeProducing",        "stopProducing",    "delayedCall",
        "clientConnectionFailed", "logPrefix",    "stateVersion",           "saveState",        "restoreState",
        "restoreBuffer",
    };
    if (is_guest) inline for (names) |name| @export(&@field(exports, name), .{ .name = name });
}

fn Exports(comptime Factory: type) type {
    return struct {
        var factory: Factory = .{};
        var receive: [most]u8 = undefined;
        var saved: Bytes = .empty;
        var restore_room: []u8 = &.{};

        fn pack(b: []const u8) u64 {
            return if (b.len == 0) 0 else @as(u64, @intFromPtr(b.ptr)) << 32 | b.len;
        }

        fn abi_version_1() callconv(.c) void {}

        fn receiveBuffer() callconv(.c) u64 {
            return pack(&receive);
        }

        fn logPrefix() callconv(.c) u64 {
            return if (@hasDecl(Factory, "log_prefix")) pack(Factory.log_prefix) else 0;
        }

        fn stateVersion() callconv(.c) i32 {
            return if (@hasDecl(Factory, "state_version")) Factory.state_version else 1;
        }

        fn startFactory() callconv(.c) i32 {
            defer leave();
            if (@hasDecl(Factory, "start")) result(factory.start()) catch |err| {
                log(.err, @errorName(err)) catch {};
                return 1;
            };
            return 0;
        }

        fn stopFactory() callconv(.c) void {
            if (@hasDecl(Factory, "stop")) result(factory.stop()) catch |err| report(.err, "stop", 0, @errorName(err));
            leave();
        }

        fn expect(handle: i32) *Conn {
            return conns.get(handle) orelse @trap(); // the server named one that is not ours
        }

        /// Tells a protocol; an error aborts its connection. false: it has no such
        /// function.
        fn tell(c: *Conn, event: Event) bool {
            return c.calls.tell(c.protocol, .{ .handle = c.handle }, event) catch |err| {
                failed(c, err);
                return true;
            };
        }

        fn failed(c: *Conn, err: anyerror) void {
            report(.err, "aborted", c.handle, @errorName(err));
            Transport.abortConnection(.{ .handle = c.handle }) catch {}; // it has ended
        }

        fn end(c: *Conn) void {
            while (c.timers) |call| {
                const timer: Timer = .{ .handle = call.handle };
                timer.cancel() catch |err| {
                    report(.warn, "cancel of a timer", c.handle, @errorName(err));
                    forget(call);
                };
            }
            leave();
            conns.remove(c);
            _ = c.calls.tell(c.protocol, .{ .handle = c.handle }, .deinit) catch false;
            allocator.destroy(c);
        }

        /// Makes a connection with its protocol. null refuses.
        fn attach(handle: i32, pending: bool, comptime client: bool) ?*Conn {
            const t: Transport = .{ .handle = handle };
            const build = if (client) "buildClientProtocol" else "buildProtocol";
            const name = if (client) "ClientProtocol" else "Protocol";
            const c = newConn(handle, pending) catch return null;
            if (@hasDecl(Factory, build)) {
                if (@field(Factory, build)(&factory, t)) |p| {
                    if (join(c, p)) return c else |_| {}
                }
            } else if (@hasDecl(Factory, name)) {
                if (join(c, @as(@field(Factory, name), .{}))) return c else |_| {}
            }
            conns.remove(c);
            allocator.destroy(c);
            return null;
        }

        fn buildProtocol(conn: i32) callconv(.c) i32 {
            defer leave();
            return @intFromBool(attach(conn, false, false) == null);
        }

        fn connectionMade(conn: i32) callconv(.c) void {
            const c = expect(conn);
            c.pending = false;
            _ = tell(c, .made);
            leave();
        }

        fn dataReceived(conn: i32, ptr: [*]const u8, len: usize) callconv(.c) void {
            const c = expect(conn);
            c.calls.data(c.protocol, .{ .handle = conn }, ptr[0..len]) catch |err| failed(c, err);
            leave();
        }

        fn connectionLost(conn: i32, why: i32) callconv(.c) void {
            const c = expect(conn);
            c.lost = true;
            _ = tell(c, .{ .lost = @enumFromInt(why) });
            end(c);
        }

        fn clientConnectionFailed(conn: i32, why: i32) callconv(.c) void {
            const c = expect(conn);
            c.lost = true;
            _ = tell(c, .{ .failed = @enumFromInt(why) });
            end(c);
        }

        fn readConnectionLost(conn: i32) callconv(.c) void {
            const c = expect(conn);
            const t: Transport = .{ .handle = conn };
            if (!tell(c, .read_lost)) t.loseConnection() catch |err| report(.warn, "close", conn, @errorName(err));
            leave();
        }

        fn writeConnectionLost(conn: i32) callconv(.c) void {
            _ = tell(expect(conn), .write_lost);
            leave();
        }

        fn handshakeCompleted(conn: i32) callconv(.c) void {
            const c = expect(conn);
            c.shaking = false;
            _ = tell(c, .handshake);
            leave();
        }

        // A call that crossed with unregisterProducer is no news.

        fn pauseProducing(conn: i32) callconv(.c) void {
            const c = expect(conn);
            if (c.producer) _ = tell(c, .pause);
            leave();
        }

        fn resumeProducing(conn: i32) callconv(.c) void {
            const c = expect(conn);
            if (c.producer) _ = tell(c, .go_on);
            leave();
        }

        fn stopProducing(conn: i32) callconv(.c) void {
            const c = expect(conn);
            if (c.producer) {
                c.producer = false;
                _ = tell(c, .stop);
            }
            leave();
        }

        fn delayedCall(handle: i32) callconv(.c) void {
            const call = timers.get(handle) orelse {
                log(.warn, "a timer is due and has no call: restoreState did not claim it") catch {};
                return;
            };
            const due = call.*;
            forget(call);
            if (due.conn) |c| {
                _ = tell(c, .{ .timer = .{ .handle = handle } });
            } else {
                due.function(due.context);
            }
            leave();
        }

        /// What saveState gives; null declines.
        fn save(conn: i32) ?[]const u8 {
            saved.clearAndFree(allocator);
            saving = true;
            defer saving = false;
            const has = if (conn == 0) has: {
                if (!@hasDecl(Factory, "saveState")) break :has false;
                result(factory.saveState(&saved)) catch break :has false;
                break :has true;
            } else has: {
                const c = expect(conn);
                break :has c.calls.tell(c.protocol, .{ .handle = conn }, .{ .save = &saved }) catch |err| {
                    report(.warn, "saveState", conn, @errorName(err));
                    break :has false;
                };
            };
            return if (has) saved.items else null;
        }

        fn saveState(conn: i32) callconv(.c) i64 {
            return if (save(conn)) |b| @bitCast(pack(b)) else -1;
        }

        fn restoreBuffer(len: usize) callconv(.c) ?[*]u8 {
            allocator.free(restore_room);
            restore_room = allocator.alloc(u8, len) catch &.{};
            return if (restore_room.len == len) restore_room.ptr else null;
        }

        fn restoreOne(conn: i32, version: i32, state: []const u8) anyerror!void {
            if (conn == 0) {
                if (!@hasDecl(Factory, "restoreState")) return error.NoRestoreState;
                return result(factory.restoreState(version, state));
            }
            const bits = host.state(conn); // fails for one that is still connecting
            const outgoing = bits < 0 or bits & State.outgoing != 0;
            const c = (if (outgoing) attach(conn, bits < 0, true) else attach(conn, false, false)) orelse return error.NoProtocol;
            errdefer end(c);
            if (bits > 0) {
                c.closing = bits & State.closing != 0;
                c.half = bits & State.write_closed != 0;
                c.producer = bits & State.producer != 0;
            }
            restoring = conn;
            defer restoring = 0;
            const event: Event = .{ .restore = .{ .version = version, .state = state } };
            if (!try c.calls.tell(c.protocol, .{ .handle = conn }, event)) return error.NoRestoreState;
        }

        fn restoreState(conn: i32, version: i32, ptr: [*]const u8, len: usize) callconv(.c) i32 {
            defer {
                allocator.free(restore_room);
                restore_room = &.{};
                leave();
            }
            restoreOne(conn, version, if (len > 0) ptr[0..len] else "") catch |err| {
                report(.err, "restore", conn, @errorName(err));
                return 1;
            };
            return 0;
        }
    };
}

/// The imports of the ABI.
const imports = struct {
    extern "transport" fn write(conn: i32, ptr: [*]const u8, len: usize) i32;
    extern "transport" fn writeSequence(conn: i32, parts: [*]const Part, n: usize) i32;
    extern "transport" fn loseConnection(conn: i32) i32;
    extern "transport" fn loseWriteConnection(conn: i32) i32;
    extern "transport" fn abortConnection(conn: i32) i32;
    extern "transport" fn pauseProducing(conn: i32) i32;
    extern "transport" fn resumeProducing(conn: i32) i32;
    extern "transport" fn registerProducer(conn: i32, streaming: i32) i32;
    extern "transport" fn unregisterProducer(conn: i32) i32;
    extern "transport" fn state(conn: i32) i32;
    extern "transport" fn setTimeout(conn: i32, ms: i32) i32;
    extern "transport" fn getPeer(conn: i32, buf: [*]u8, cap: usize) i32;
    extern "transport" fn getHost(conn: i32, buf: [*]u8, cap: usize) i32;
    extern "transport" fn reason(conn: i32, buf: [*]u8, cap: usize) i32;
    extern "transport" fn setTcpNoDelay(conn: i32, on: i32) i32;
    extern "transport" fn setTcpKeepAlive(conn: i32, on: i32) i32;
    extern "transport" fn startTLS(conn: i32) i32;
    extern "transport" fn getPeerCertificate(conn: i32, buf: [*]u8, cap: usize) i32;
    extern "transport" fn negotiatedProtocol(conn: i32, buf: [*]u8, cap: usize) i32;
    extern "reactor" fn callLater(ms: i32) i32;
    extern "reactor" fn cancel(timer: i32) i32;
    extern "reactor" fn reset(timer: i32, ms: i32) i32;
    extern "reactor" fn seconds() f64;
    extern "reactor" fn connect(endpoint: [*]const u8, len: usize, ms: i32) i32;
    extern "factory" fn config(buf: [*]u8, cap: usize) i32;
    extern "log" fn emit(level: i32, ptr: [*]const u8, len: usize) i32;
};

const host = if (is_guest) imports else testing.host;

// Framers. Names and limits are those of twisted.protocols.basic; after loseConnection
// they deliver nothing more. Each is a field of a protocol, whose dataReceived calls
// its receive with the protocol.

/// What all framers hold.
const Framing = struct {
    held: Bytes = .empty, // received, not delivered
    conn: i32 = 0, // on which held came,
    tls: bool = false, // and whether startTLS had been called then
    paused: bool = false,
    busy: bool = false, // delivering

    /// What is received and not delivered. What came in plain text ends with startTLS.
    fn get(f: *const Framing) []const u8 {
        return if (!f.tls and startedTLS(f.conn)) "" else f.held.items;
    }

    fn startedTLS(handle: i32) bool {
        return if (conns.get(handle)) |c| c.tls else false;
    }

    /// For a restored state.
    fn set(f: *Framing, bytes: []const u8) error{OutOfMemory}!void {
        f.conn = restoring;
        f.tls = false;
        f.held.clearRetainingCapacity();
        try f.held.appendSlice(allocator, bytes);
    }

    /// All that there is to deliver.
    fn begin(f: *Framing, t: Transport, data: []const u8) error{OutOfMemory}![]const u8 {
        if (f.busy) @panic("a framer was called by what it delivers to");
        if (f.held.items.len > 0 and !f.tls and startedTLS(t.handle)) {
            f.held.clearAndFree(allocator); // it came in plain text
        }
        if (f.held.items.len == 0) {
            f.busy = true;
            return data;
        }
        try f.held.appendSlice(allocator, data);
        f.busy = true;
        return f.held.items;
    }

    /// Holds what was not delivered, the end of what begin gave. An idle connection
    /// holds no memory.
    fn end(f: *Framing, t: Transport, rest: []const u8) error{OutOfMemory}!void {
        f.busy = false;
        if (rest.len == 0) return f.held.clearAndFree(allocator);
        f.conn = t.handle;
        f.tls = startedTLS(t.handle);
        if (f.held.items.len == 0) {
            try f.held.appendSlice(allocator, rest);
        } else {
            @memmove(f.held.items[0..rest.len], rest);
            f.held.shrinkRetainingCapacity(rest.len);
        }
    }

    /// Appends a framer's part of a state: a byte of flags, the length of what is held
    /// as an unsigned LEB128, and that. The other languages' SDKs write the same.
    fn save(f: *const Framing, flags: u8, to: *Bytes) error{OutOfMemory}!void {
        try to.append(allocator, flags | @as(u8, @intFromBool(f.paused)));
        try appendLeb(to, f.get().len);
        try to.appendSlice(allocator, f.get());
    }

    /// The inverse: flags, and what follows.
    fn restore(f: *Framing, state: []const u8) error{ OutOfMemory, BadState }!struct { u8, []const u8 } {
        if (state.len == 0) return error.BadState;
        const len, const rest = try takeLeb(state[1..]);
        if (len > rest.len) return error.BadState;
        f.paused = state[0] & 1 != 0;
        try f.set(rest[0..@intCast(len)]);
        return .{ state[0], rest[@intCast(len)..] };
    }
};

/// Appends an unsigned LEB128.
pub fn appendLeb(to: *Bytes, value: u64) error{OutOfMemory}!void {
    var v = value;
    while (v > 0x7f) : (v >>= 7) try to.append(allocator, @as(u8, @truncate(v)) | 0x80);
    try to.append(allocator, @intCast(v));
}

/// Reads an unsigned LEB128, and gives what follows it.
pub fn takeLeb(b: []const u8) error{BadState}!struct { u64, []const u8 } {
    var v: u64 = 0;
    for (b[0..@min(b.len, 10)], 0..) |byte, i| {
        if (i == 9 and byte > 1) break;
        v |= @as(u64, byte & 0x7f) << @intCast(7 * i);
        if (byte < 0x80) return .{ v, b[i + 1 ..] };
    }
    return error.BadState;
}

/// The first of b in p: eight bytes at once.
fn findByte(p: []const u8, b: u8) ?usize {
    const ones: u64 = 0x0101010101010101;
    var i: usize = 0;
    while (i + 8 <= p.len) : (i += 8) {
        const x = std.mem.readInt(u64, p[i..][0..8], .little) ^ (ones * b);
        const zero = (x -% ones) & ~x & (ones << 7); // where a byte of x is 0
        if (zero != 0) return i + (@ctz(zero) >> 3);
    }
    while (i < p.len) : (i += 1) {
        if (p[i] == b) return i;
    }
    return null;
}

/// The first of needle, which is not empty, in p.
fn find(p: []const u8, needle: []const u8) ?usize {
    var at: usize = 0;
    while (at + needle.len <= p.len) : (at += 1) {
        at += findByte(p[at .. p.len - needle.len + 1], needle[0]) orelse return null;
        if (std.mem.eql(u8, p[at..][0..needle.len], needle)) return at;
    }
    return null;
}

/// Closes over a peer's fault.
fn closeFor(t: Transport, fault: []const u8) Error!void {
    report(.debug, "close", t.handle, fault);
    try t.loseConnection();
}

/// Lines, and raw bytes between them. The protocol has
///
///     lineReceived(t, line)        without the delimiter; may be empty
///     rawDataReceived(t, data)     for setRawMode
///     lineLengthExceeded(t, held)  the first max_length + delimiter bytes of a line
///                                  that is too long; what follows is read as a new
///                                  line. Without it the connection is closed
///
/// delimiter and max_length may be set at any time, for the lines that follow.
pub const LineReceiver = struct {
    delimiter: []const u8 = "\r\n", // not empty; a constant, or the protocol's
    max_length: usize = default_max_length, // of a line without its delimiter
    framing: Framing = .{},
    scanned: usize = 0, // bytes in which no delimiter begins
    raw: bool = false,
    back: usize = 0, // bytes that setLineMode gave back
    cleared: bool = false, // by clearLineBuffer

    pub const default_max_length = 16384;

    pub fn deinit(l: *LineReceiver) void {
        l.framing.held.deinit(allocator);
    }

    /// Takes bytes apart into lines for p, the protocol.
    pub fn receive(l: *LineReceiver, p: anytype, t: Transport, data: []const u8) !void {
        var rest = try l.framing.begin(t, data);
        if (l.framing.held.items.len == 0) l.scanned = 0;
        while (rest.len > 0 and !l.framing.paused and !t.stopped()) {
            if (!try l.step(p, t, &rest)) break;
            if (l.cleared) {
                l.cleared = false;
                rest = "";
            }
        }
        try l.framing.end(t, if (t.stopped()) "" else rest);
    }

    fn step(l: *LineReceiver, p: anytype, t: Transport, rest: *[]const u8) !bool {
        const P = @typeInfo(@TypeOf(p)).pointer.child;
        const all = rest.*;
        if (l.raw) {
            if (!@hasDecl(P, "rawDataReceived")) @panic("raw mode, and no rawDataReceived");
            try result(p.rawDataReceived(t, all));
            rest.* = all[all.len - @min(l.back, all.len) ..];
            l.back = 0;
            return true;
        }
        // Whether a line is too long is decided on its first bytes, however they came:
        // where no delimiter ends in them, it can only be.
        const longest = l.max_length + l.delimiter.len;
        const window = all[0..@min(all.len, longest)];
        const from = @min(l.scanned, window.len);
        if (find(window[from..], l.delimiter)) |i| {
            l.scanned = 0;
            rest.* = all[from + i + l.delimiter.len ..];
            try result(p.lineReceived(t, all[0 .. from + i]));
            return true;
        }
        if (all.len >= longest) {
            l.scanned = 0;
            rest.* = all[longest..];
            if (@hasDecl(P, "lineLengthExceeded")) {
                try result(p.lineLengthExceeded(t, all[0..longest]));
            } else try closeFor(t, "a line is too long");
            return true;
        }
        l.scanned = (window.len + 1) -| l.delimiter.len;
        return false;
    }

    /// What follows goes to rawDataReceived.
    pub fn setRawMode(l: *LineReceiver) void {
        l.raw = true;
        l.scanned = 0;
    }

    /// Back to lines. extra is how many bytes at the end of what rawDataReceived got
    /// are not its own.
    pub fn setLineMode(l: *LineReceiver, extra: usize) void {
        l.raw = false;
        l.scanned = 0;
        l.back = extra;
    }

    /// Drops what is received and not delivered.
    pub fn clearLineBuffer(l: *LineReceiver) void {
        l.scanned = 0;
        l.cleared = l.framing.busy;
        if (!l.framing.busy) l.framing.held.clearAndFree(allocator);
    }

    /// Writes a line and the delimiter.
    pub fn sendLine(l: *const LineReceiver, t: Transport, line: []const u8) Error!void {
        try t.write(line);
        try t.write(l.delimiter);
    }

    /// Stops the delivery at once, in the middle of what was received too.
    pub fn pauseProducing(l: *LineReceiver, t: Transport) Error!void {
        l.framing.paused = true;
        try t.pauseProducing();
    }

    /// Goes on, with what was received first.
    pub fn resumeProducing(l: *LineReceiver, p: anytype, t: Transport) !void {
        l.framing.paused = false;
        try t.resumeProducing();
        if (!l.framing.busy) try l.receive(p, t, "");
    }

    /// What is received and not delivered.
    pub fn held(l: *const LineReceiver) []const u8 {
        return l.framing.get();
    }

    /// For restoreState: the half line of the version before.
    pub fn setHeld(l: *LineReceiver, half: []const u8) error{OutOfMemory}!void {
        try l.framing.set(half);
    }

    /// Appends the framer's part of a state.
    pub fn saveState(l: *const LineReceiver, to: *Bytes) error{OutOfMemory}!void {
        try l.framing.save(if (l.raw) 2 else 0, to);
    }

    /// Its inverse: what follows.
    pub fn restoreState(l: *LineReceiver, state: []const u8) error{ OutOfMemory, BadState }![]const u8 {
        const flags, const rest = try l.framing.restore(state);
        l.raw = flags & 2 != 0;
        return rest;
    }
};

/// Strings with their length in front. The protocol has
///
///     stringReceived(t, s)
///     lengthLimitExceeded(t, length)  an IntN string is longer than max_length; it
///                                     closes when this returns
pub const StringReceiver = struct {
    prefix: Prefix, // Twisted's NetstringReceiver, Int8StringReceiver…
    max_length: usize = 99999,
    framing: Framing = .{},

    pub const Prefix = enum(u3) { netstring = 0, int8 = 1, int16 = 2, int32 = 4 };

    pub fn deinit(r: *StringReceiver) void {
        r.framing.held.deinit(allocator);
    }

    /// Takes bytes apart into strings for p, the protocol.
    pub fn receive(r: *StringReceiver, p: anytype, t: Transport, data: []const u8) !void {
        var rest = try r.framing.begin(t, data);
        while (!r.framing.paused and !t.stopped()) {
            const more = if (r.prefix == .netstring) try r.netstring(p, t, &rest) else try r.intN(p, t, &rest);
            if (!more) break;
        }
        try r.framing.end(t, if (t.stopped()) "" else rest);
    }

    /// Closes at the first byte that is wrong.
    fn netstring(r: *StringReceiver, p: anytype, t: Transport, rest: *[]const u8) !bool {
        const all = rest.*;
        var size: usize = 0;
        const from = for (all, 0..) |b, i| {
            if (b == ':' and i > 0) break i + 1;
            const fault: ?[]const u8 = if (b < '0' or b > '9')
                "a netstring's length is no number"
            else if (i > 0 and size == 0)
                "a netstring's length begins with 0"
            else fault: {
                size = size *| 10 +| (b - '0');
                break :fault if (size > r.max_length) "a netstring is too long" else null;
            };
            if (fault) |words| {
                try closeFor(t, words);
                return false;
            }
        } else return false;
        if (all.len - from <= size) return false;
        if (all[from + size] != ',') {
            try closeFor(t, "a netstring has no comma");
            return false;
        }
        rest.* = all[from + size + 1 ..];
        try result(p.stringReceived(t, all[from..][0..size]));
        return true;
    }

    fn intN(r: *StringReceiver, p: anytype, t: Transport, rest: *[]const u8) !bool {
        const P = @typeInfo(@TypeOf(p)).pointer.child;
        const all = rest.*;
        const n: usize = @intFromEnum(r.prefix);
        if (all.len < n) return false;
        var length: u32 = 0;
        for (all[0..n]) |b| length = length << 8 | b;
        if (length > r.max_length) {
            if (@hasDecl(P, "lengthLimitExceeded")) try result(p.lengthLimitExceeded(t, length));
            if (!t.disconnecting()) try closeFor(t, "a string is too long"); // what follows has no frame any more
            return false;
        }
        if (all.len - n < length) return false;
        rest.* = all[n + length ..];
        try result(p.stringReceived(t, all[n..][0..length]));
        return true;
    }

    /// Writes a string with its length. TooBig: the length does not fit its prefix.
    pub fn sendString(r: *const StringReceiver, t: Transport, s: []const u8) Error!void {
        if (r.prefix == .netstring) {
            var digits: [10]u8 = undefined;
            try t.write(decimal(&digits, @intCast(s.len)));
            try t.write(":");
            try t.write(s);
            return t.write(",");
        }
        const n: usize = @intFromEnum(r.prefix);
        if (@as(u64, s.len) >> @intCast(8 * n) > 0) return error.TooBig;
        var length: [4]u8 = undefined;
        std.mem.writeInt(u32, &length, @intCast(s.len), .big);
        try t.write(length[4 - n ..]);
        try t.write(s);
    }

    /// Stops the delivery at once, in the middle of what was received too.
    pub fn pauseProducing(r: *StringReceiver, t: Transport) Error!void {
        r.framing.paused = true;
        try t.pauseProducing();
    }

    /// Goes on, with what was received first.
    pub fn resumeProducing(r: *StringReceiver, p: anytype, t: Transport) !void {
        r.framing.paused = false;
        try t.resumeProducing();
        if (!r.framing.busy) try r.receive(p, t, "");
    }

    /// Appends the framer's part of a state.
    pub fn saveState(r: *const StringReceiver, to: *Bytes) error{OutOfMemory}!void {
        try r.framing.save(0, to);
    }

    /// Its inverse: what follows.
    pub fn restoreState(r: *StringReceiver, state: []const u8) error{ OutOfMemory, BadState }![]const u8 {
        _, const rest = try r.framing.restore(state);
        return rest;
    }
};

/// Stands in for the server, so that a protocol is tested natively, with no WASM and no
/// socket. Output is collected, the clock stands until advance, and a connection that
/// was asked to close is lost when the callback has returned; TLS is up when the one that
/// called startTLS has.
pub const testing = struct {
    const Wire = struct {
        output: Bytes = .empty,
        state: i32 = 0,
        reason: i32 = 0,
        ended: bool = false,
        shaking: bool = false,
    };

    // Of the page allocator: what a test forgets here is no leak of the plugin's.
    const own = std.heap.page_allocator;
    var wires: std.ArrayList(Wire) = .empty; // by handle - 1
    var due: std.ArrayList(?f64) = .empty; // ms, by timer - 1
    var now: f64 = 0;
    var section: []const u8 = "";
    /// How many writes reached the server.
    pub var write_calls: usize = 0;
    /// The last line logged.
    pub var last_log: Bytes = .empty;

    fn wire(conn: i32) ?*Wire {
        return if (conn > 0 and conn <= wires.items.len) &wires.items[@intCast(conn - 1)] else null;
    }

    /// A server with one plugin. Start begins anew; end ends all its connections.
    pub fn Server(comptime Factory: type) type {
        return struct {
            const exports = Exports(Factory);

            /// Starts the factory; false: it refused.
            pub fn start(json: []const u8) bool {
                wires.clearRetainingCapacity();
                due.clearRetainingCapacity();
                now = 0;
                write_calls = 0;
                section = json;
                exports.factory = .{};
                return exports.startFactory() == 0;
            }

            pub fn end() void {
                for (1..wires.items.len + 1) |conn| {
                    if (!wires.items[conn - 1].ended) lose(.{ .handle = @intCast(conn) }, .shutting_down);
                }
                exports.stopFactory();
                exports.saved.clearAndFree(allocator);
            }

            /// Completes handshakes, and loses the connections that are to close.
            fn settle() void {
                var conn: i32 = 1;
                while (wire(conn)) |w| : (conn += 1) {
                    if (w.shaking and !w.ended and w.state & State.closing == 0) {
                        w.shaking = false;
                        exports.handshakeCompleted(conn);
                    }
                    if (w.ended or w.state & (State.closing | State.producer) != State.closing) continue;
                    w.ended = true;
                    exports.connectionLost(conn, w.reason);
                }
            }

            /// A connection is accepted; null: the factory refuses it.
            pub fn accept() ?Transport {
                const conn = open(0);
                if (exports.buildProtocol(conn) != 0) {
                    wire(conn).?.ended = true;
                    return null;
                }
                exports.connectionMade(conn);
                settle();
                return .{ .handle = conn };
            }

            /// An outgoing connection is made,
            pub fn made(t: Transport) void {
                exports.connectionMade(t.handle);
                settle();
            }

            /// or is not.
            pub fn failed(t: Transport, why: Reason) void {
                wire(t.handle).?.ended = true;
                exports.clientConnectionFailed(t.handle, @intFromEnum(why));
            }

            /// The peer sends.
            pub fn send(t: Transport, data: []const u8) void {
                if (data.len == 0 or wire(t.handle).?.ended) return;
                exports.dataReceived(t.handle, data.ptr, data.len);
                settle();
            }

            /// The peer closes its writing side.
            pub fn finish(t: Transport) void {
                wire(t.handle).?.state |= State.peer_closed;
                exports.readConnectionLost(t.handle);
                settle();
            }

            /// The connection is lost.
            pub fn lose(t: Transport, why: Reason) void {
                const w = wire(t.handle).?;
                w.reason = @intFromEnum(why);
                w.state = (w.state & ~@as(i32, State.producer)) | State.closing;
                settle();
            }

            /// The output has emptied.
            pub fn drained(t: Transport) void {
                exports.resumeProducing(t.handle);
                settle();
            }

            /// All that was written.
            pub fn output(t: Transport) []const u8 {
                return wire(t.handle).?.output.items;
            }

            /// Whether connectionLost was called.
            pub fn ended(t: Transport) bool {
                return wire(t.handle).?.ended;
            }

            /// Turns the clock on by ms, and makes the calls that are due, in order.
            pub fn advance(ms: f64) void {
                const until = now + ms;
                while (true) {
                    var next: ?usize = null;
                    for (due.items, 0..) |d, i| {
                        const at = d orelse continue;
                        if (at <= until and (next == null or at < due.items[next.?].?)) next = i;
                    }
                    const timer = next orelse break;
                    now = @max(now, due.items[timer].?);
                    due.items[timer] = null;
                    exports.delayedCall(@intCast(timer + 1));
                    settle();
                }
                now = until;
                settle();
            }

            /// Moves a connection's state to a new one: what a reload does. null: one of
            /// the two refused.
            pub fn reload(t: Transport, version: i32) ?Transport {
                const state = exports.save(t.handle) orelse return null;
                const conn = open(wire(t.handle).?.state);
                if (exports.restoreState(conn, version, state.ptr, state.len) == 0) return .{ .handle = conn };
                wire(conn).?.ended = true;
                return null;
            }
        };
    }

    fn open(state: i32) i32 {
        wires.append(own, .{ .state = state }) catch @panic("no memory");
        return @intCast(wires.items.len);
    }

    const host = struct {
        fn set(conn: i32, bits: i32, clear: i32) i32 {
            const w = wire(conn) orelse return -1;
            if (!w.ended) w.state = (w.state & ~clear) | bits;
            return 0;
        }

        pub fn write(conn: i32, ptr: [*]const u8, len: usize) i32 {
            const w = wire(conn) orelse return -1;
            write_calls += 1;
            const shut = w.state & (State.closing | State.write_closed) != 0 and w.state & State.producer == 0;
            if (!w.ended and !shut) w.output.appendSlice(own, ptr[0..len]) catch @panic("no memory");
            return @intCast(len);
        }

        pub fn writeSequence(conn: i32, parts: [*]const Part, n: usize) i32 {
            for (parts[0..n]) |part| _ = @This().write(conn, part.ptr, part.len);
            write_calls -= n - 1;
            return 0;
        }

        pub fn loseConnection(conn: i32) i32 {
            return set(conn, State.closing, 0);
        }

        pub fn loseWriteConnection(conn: i32) i32 {
            return set(conn, State.write_closed, 0);
        }

        pub fn abortConnection(conn: i32) i32 {
            const w = wire(conn) orelse return -1;
            w.reason = @intFromEnum(Reason.aborted);
            return set(conn, State.closing, State.producer);
        }

        pub fn pauseProducing(conn: i32) i32 {
            return set(conn, State.paused, 0);
        }

        pub fn resumeProducing(conn: i32) i32 {
            return set(conn, 0, State.paused);
        }

        pub fn registerProducer(conn: i32, _: i32) i32 {
            const w = wire(conn) orelse return -1;
            return if (w.state & State.producer != 0) -5 else set(conn, State.producer, 0);
        }

        pub fn unregisterProducer(conn: i32) i32 {
            return set(conn, 0, State.producer);
        }

        pub fn state(conn: i32) i32 {
            return if (wire(conn)) |w| w.state else -1;
        }

        pub fn setTimeout(conn: i32, ms: i32) i32 {
            return if (ms < 0) -2 else set(conn, 0, 0);
        }

        fn give(text: []const u8, buf: [*]u8, cap: usize) i32 {
            if (text.len <= cap) @memcpy(buf[0..text.len], text);
            return @intCast(text.len);
        }

        pub fn getPeer(_: i32, buf: [*]u8, cap: usize) i32 {
            return give("tcp://192.0.2.1:5000", buf, cap);
        }

        pub fn getHost(_: i32, buf: [*]u8, cap: usize) i32 {
            return give("tcp://192.0.2.2:7000", buf, cap);
        }

        pub fn reason(conn: i32, buf: [*]u8, cap: usize) i32 {
            return if (wire(conn).?.ended) give("test", buf, cap) else -2;
        }

        pub fn setTcpNoDelay(conn: i32, _: i32) i32 {
            return set(conn, 0, 0);
        }

        pub fn setTcpKeepAlive(conn: i32, _: i32) i32 {
            return set(conn, 0, 0);
        }

        pub fn startTLS(conn: i32) i32 {
            const w = wire(conn) orelse return -1;
            if (w.state & State.tls != 0) return -5;
            w.shaking = true;
            return set(conn, State.tls, 0);
        }

        pub fn getPeerCertificate(_: i32, buf: [*]u8, cap: usize) i32 {
            return give("", buf, cap);
        }

        pub fn negotiatedProtocol(_: i32, buf: [*]u8, cap: usize) i32 {
            return give("", buf, cap);
        }

        pub fn callLater(ms: i32) i32 {
            if (ms < 0) return -2;
            due.append(own, now + @as(f64, @floatFromInt(ms))) catch return -3;
            return @intCast(due.items.len);
        }

        pub fn cancel(timer: i32) i32 {
            const at = &due.items[@intCast(timer - 1)];
            if (at.* == null) return -6;
            at.* = null;
            return 0;
        }

        pub fn reset(timer: i32, ms: i32) i32 {
            const at = &due.items[@intCast(timer - 1)];
            if (at.* == null) return -6;
            at.* = now + @as(f64, @floatFromInt(ms));
            return 0;
        }

        pub fn seconds() f64 {
            return now / 1000;
        }

        pub fn connect(_: [*]const u8, _: usize, _: i32) i32 {
            return open(State.outgoing);
        }

        pub fn config(buf: [*]u8, cap: usize) i32 {
            return give(section, buf, cap);
        }

        pub fn emit(_: i32, ptr: [*]const u8, len: usize) i32 {
            last_log.clearRetainingCapacity();
            last_log.appendSlice(own, ptr[0..len]) catch return -3;
            return 0;
        }
    };
};
