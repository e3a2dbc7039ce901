//! Tests of the SDK itself, natively: zig test selftest.zig
const std = @import("std");
const wirehost = @import("wirehost.zig");
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectEqualStrings = std.testing.expectEqualStrings;

const Kind = enum { line, netstring, int8, int16, int32 };

/// Of the factory's next protocols.
var kind: Kind = .line;
var longest: usize = 0;

/// Each frame is written as KIND<TEXT>; "close" closes.
fn note(t: wirehost.Transport, what: []const u8, p: []const u8) !void {
    for ([_][]const u8{ what, "<", p, ">" }) |part| try t.write(part);
    if (std.mem.eql(u8, p, "close")) try t.loseConnection();
    if (std.mem.eql(u8, p, "tls")) {
        try t.startTLS();
        try std.testing.expectError(error.Busy, t.startTLS());
    }
}

const Frames = struct {
    kind: Kind,
    lines: wirehost.LineReceiver,
    strings: wirehost.StringReceiver,
    raw: usize = 0,

    pub fn deinit(f: *Frames) void {
        f.lines.deinit();
        f.strings.deinit();
    }

    pub fn dataReceived(f: *Frames, t: wirehost.Transport, data: []const u8) !void {
        if (f.kind == .line) try f.lines.receive(f, t, data) else try f.strings.receive(f, t, data);
    }

    pub fn lineReceived(f: *Frames, t: wirehost.Transport, line: []const u8) !void {
        try note(t, "line", line);
        if (line.len == 4 and std.mem.startsWith(u8, line, "raw")) {
            f.raw = line[3] - '0';
            f.lines.setRawMode();
        }
        if (std.mem.eql(u8, line, "clear")) f.lines.clearLineBuffer();
        if (std.mem.eql(u8, line, "delim")) f.lines.delimiter = "-=-";
        if (std.mem.eql(u8, line, "error")) return error.OfTheProtocol;
        if (std.mem.eql(u8, line, "pause")) {
            try f.lines.pauseProducing(t);
            _ = try t.callLater(10);
        }
    }

    pub fn rawDataReceived(f: *Frames, t: wirehost.Transport, data: []const u8) !void {
        const mine = @min(f.raw, data.len);
        try t.write(data[0..mine]);
        f.raw -= mine;
        if (f.raw == 0) f.lines.setLineMode(data.len - mine);
        if (std.mem.startsWith(u8, data, "tls")) try t.startTLS();
    }

    pub fn stringReceived(_: *Frames, t: wirehost.Transport, s: []const u8) !void {
        try note(t, "string", s);
    }

    pub fn lengthLimitExceeded(_: *Frames, t: wirehost.Transport, length: u32) !void {
        try note(t, "limit", "!!!!"[0..@min(4, length)]);
    }

    pub fn handshakeCompleted(_: *Frames, t: wirehost.Transport) !void {
        try note(t, "up", "");
    }

    pub fn delayedCall(f: *Frames, t: wirehost.Transport, _: wirehost.Timer) !void {
        try f.lines.resumeProducing(f, t);
    }

    pub fn saveState(f: *Frames, to: *wirehost.Bytes) !void {
        try to.append(wirehost.allocator, @intCast(f.raw));
        if (f.kind == .line) try f.lines.saveState(to) else try f.strings.saveState(to);
    }

    pub fn restoreState(f: *Frames, _: wirehost.Transport, _: i32, state: []const u8) !void {
        f.raw = state[0];
        const rest = if (f.kind == .line) try f.lines.restoreState(state[1..]) else try f.strings.restoreState(state[1..]);
        if (rest.len > 0) return error.BadState;
    }
};

const Factory = struct {
    pub fn buildProtocol(_: *Factory, _: wirehost.Transport) ?Frames {
        var f: Frames = .{ .kind = kind, .lines = .{}, .strings = .{ .prefix = switch (kind) {
            .line, .netstring => .netstring,
            .int8 => .int8,
            .int16 => .int16,
            .int32 => .int32,
        } } };
        if (longest > 0) f.lines.max_length = longest;
        if (longest > 0) f.strings.max_length = longest;
        return f;
    }
};

const server = wirehost.testing.Server(Factory);

const Row = struct { Kind, usize, []const u8, []const u8, bool };

const rows = [_]Row{
    .{ .line, 0, "a\r\nbc\r\n\r\nrest", "line<a>line<bc>line<>", false },
    .{ .line, 0, "a\nb\r\n", "line<a\nb>", false },
    .{ .line, 0, "\r\r\n\r\n", "line<\r>line<>", false },
    .{ .line, 5, "12345\r\n1234\r\n", "line<12345>line<1234>", false },
    .{ .line, 5, "a\r\n1234567", "line<a>", true },
    .{ .line, 5, "a\r\n123456\r\nb\r\n", "line<a>", true },
    .{ .line, 5, "a\r\n123456", "line<a>", false },
    .{ .line, 0, "close\r\na\r\n", "line<close>", true },
    .{ .line, 0, "raw4\r\n\r\n\r\nb\r\n", "line<raw4>\r\n\r\nline<b>", false },
    .{ .line, 0, "delim\r\na\r\n-=b-=-c-=-", "line<delim>line<a\r\n-=b>line<c>", false },
    .{ .netstring, 0, "3:abc,0:,1:,,", "string<abc>string<>string<,>", false },
    .{ .netstring, 0, "1:a,12", "string<a>", false },
    .{ .netstring, 12, "12:123456789012,", "string<123456789012>", false },
    .{ .netstring, 12, "1:a,13", "string<a>", true },
    .{ .netstring, 0, "1:a,100000", "string<a>", true },
    .{ .netstring, 0, "1:a,01:a,", "string<a>", true },
    .{ .netstring, 0, "00:,", "", true },
    .{ .netstring, 0, "1a:a,", "", true },
    .{ .netstring, 0, ":,", "", true },
    .{ .netstring, 0, "1:a,3:abcd", "string<a>", true },
    .{ .netstring, 0, "5:close,1:a,x", "string<close>", true },
    .{ .netstring, 0, "9999999999999999999999", "", true },
    .{ .int8, 0, "\x03abc\x00\x01a", "string<abc>string<>string<a>", false },
    .{ .int8, 3, "\x03abc\x04abcd", "string<abc>limit<!!!!>", true },
    .{ .int16, 0, "\x00\x03abc\x00\x00\x00\x01a\x00", "string<abc>string<>string<a>", false },
    .{ .int32, 0, "\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00", "string<abc>string<>", false },
    .{ .int32, 0, "\x00\x00\x00\x00\xff\xff\xff\xff", "string<>limit<!!!!>", true },
};

/// Sends the input in two pieces, or all behind the first byte by byte; reloads behind
/// the first where it is asked to.
fn run(row: Row, cut: usize, by_byte: bool, reload: bool) !void {
    kind, longest, const input, const want, const closes = row;
    try expect(server.start(""));
    defer server.end();
    var found: wirehost.Bytes = .empty;
    defer found.deinit(std.testing.allocator);
    var t = server.accept().?;
    server.send(t, input[0..cut]);
    if (reload and !server.ended(t)) {
        try found.appendSlice(std.testing.allocator, server.output(t));
        t = server.reload(t, 1).?;
    }
    if (by_byte) {
        for (cut..input.len) |i| server.send(t, input[i..][0..1]);
    } else server.send(t, input[cut..]);
    try found.appendSlice(std.testing.allocator, server.output(t));
    errdefer std.debug.print("{s}, cut at {d}, by byte {}, reload {}\n", .{ input, cut, by_byte, reload });
    try expectEqualStrings(want, found.items);
    try expectEqual(closes, server.ended(t));
}

test "framers" {
    for (rows) |row| {
        const plain = !std.mem.startsWith(u8, row[2], "delim"); // the delimiter is not in the state
        for (0..row[2].len + 1) |cut| {
            for ([_]bool{ false, true }) |by_byte| {
                try run(row, cut, by_byte, false);
                if (plain) try run(row, cut, by_byte, true);
            }
        }
    }
}

fn accepted() !wirehost.Transport {
    kind = .line;
    longest = 0;
    try expect(server.start(""));
    return server.accept().?;
}

test "pause, clear, error" {
    const t = try accepted();
    defer server.end();
    server.send(t, "a\r\npause\r\nb\r\nc");
    try expectEqualStrings("line<a>line<pause>", server.output(t));
    try expectEqual(wirehost.State.paused | wirehost.State.can_start_tls, try t.state());
    server.advance(9);
    try expectEqualStrings("line<a>line<pause>", server.output(t));
    server.advance(1);
    server.send(t, "d\r\n");
    try expectEqualStrings("line<a>line<pause>line<b>line<cd>", server.output(t));
    try expectEqual(wirehost.State.can_start_tls, try t.state());
    try t.startTLS();
    try expectEqual(wirehost.State.tls, try t.state());
    const other = server.accept().?;
    server.send(other, "clear\r\nlost\r\n");
    server.send(other, "x\r\n");
    try expectEqualStrings("line<clear>line<x>", server.output(other));
    server.send(other, "error\r\nmore\r\n"); // an error aborts
    try expect(server.ended(other));
    try expectEqualStrings("aborted, connection 2: dataReceived: OfTheProtocol", wirehost.testing.last_log.items);
}

// What came in plain text behind "tls" is not delivered, in whatever way it is held.
test "nothing plain after startTLS" {
    const Case = struct { Kind, []const u8, []const u8, []const u8 };
    for ([_]Case{
        .{ .line, "a\r\ntls\r\nEVIL\r\nEV", "b\r\n", "line<a>line<tls>up<>line<b>" },
        .{ .line, "tls\r\nEVIL\r", "\nb\r\n", "line<tls>up<>line<\nb>" },
        .{ .line, "raw3\r\ntlsEVIL\r\nEV", "b\r\n", "line<raw3>tlsup<>line<b>" },
        .{ .netstring, "3:tls,4:EVIL,9:EV", "1:b,", "string<tls>up<>string<b>" },
        .{ .int8, "\x03tls\x04EVIL\x07E", "\x01b", "string<tls>up<>string<b>" },
        .{ .int16, "\x00\x03tls\x00\x04EVIL\x00", "\x00\x01b", "string<tls>up<>string<b>" },
        .{ .int32, "\x00\x00\x00\x03tls\x00\x00\x00\x04EVIL\x00", "\x00\x00\x00\x01b", "string<tls>up<>string<b>" },
    }) |case| {
        kind, const plain, const secure, const want = case;
        longest = 0;
        try expect(server.start(""));
        defer server.end();
        const t = server.accept().?;
        server.send(t, plain);
        server.send(t, secure);
        try expectEqualStrings(want, server.output(t));
    }
    // What is held while it is paused; it doesn't come with a reload either.
    for ([_][2]bool{ .{ false, false }, .{ false, true }, .{ true, false }, .{ true, true } }) |reloads| {
        var t = try accepted();
        defer server.end();
        server.send(t, "pause\r\nEVIL\r\nEV");
        if (reloads[0]) {
            t = server.reload(t, 1).?; // held in the new version, too
            _ = try t.callLater(10);
        }
        try t.startTLS();
        server.advance(1); // handshakeCompleted
        if (reloads[1]) {
            t = server.reload(t, 1).?;
            _ = try t.callLater(10);
        }
        server.advance(20);
        server.send(t, "b\r\n");
        const found = server.output(t);
        try expect(std.mem.endsWith(u8, found, "line<b>") and std.mem.indexOf(u8, found, "EV") == null);
    }
}

test "writes are gathered" {
    const t = try accepted();
    defer server.end();
    server.send(t, "a\r\nb\r\nc\r\nd\r\n");
    try expectEqual(1, wirehost.testing.write_calls);
    const before = server.output(t).len;
    const large: [10000]u8 = @splat('x');
    try t.write("1");
    try t.write(&large);
    try t.write("2");
    try t.loseConnection();
    try t.write("dropped");
    const found = server.output(t)[before..];
    try expect(found.len == 10002 and found[0] == '1' and found[1] == 'x' and found[10001] == '2');
    try expectEqual(3, wirehost.testing.write_calls);
    server.finish(t);
    try expect(server.ended(t));
}

const Client = struct {
    seen: *i32,

    pub fn connectionMade(_: *Client, t: wirehost.Transport) !void {
        try t.write("hello");
        _ = try t.callLater(10);
        const cancelled = try t.callLater(20);
        try cancelled.cancel();
        _ = try t.callLater(1000);
        try t.registerProducer(true);
    }

    pub fn dataReceived(_: *Client, t: wirehost.Transport, _: []const u8) !void {
        try t.loseConnection();
        try t.write("last"); // a producer may still
        try t.unregisterProducer();
    }

    pub fn delayedCall(c: *Client, t: wirehost.Transport, timer: wirehost.Timer) !void {
        c.seen.* += 1;
        try std.testing.expectError(error.NoTimer, timer.cancel());
        try t.write("tick");
    }

    pub fn clientConnectionFailed(c: *Client, _: wirehost.Transport, why: wirehost.Reason) void {
        c.seen.* = 100 + @intFromEnum(why);
    }

    pub fn connectionLost(c: *Client, _: wirehost.Transport, _: wirehost.Reason) void {
        c.seen.* += 1000;
    }
};

fn seven(seen: *i32) void {
    seen.* = 7;
}

test "clients and timers" {
    _ = try accepted();
    defer server.end();
    var seen: i32 = 0;
    var t = try wirehost.connect("tcp://192.0.2.3:25", 0, Client{ .seen = &seen });
    try std.testing.expectError(error.NoConnection, t.write("early"));
    server.made(t);
    server.advance(50);
    try expectEqualStrings("hellotick", server.output(t));
    server.send(t, "x");
    try expectEqualStrings("helloticklast", server.output(t));
    try expectEqual(1001, seen);
    server.advance(5000); // its last call ended with it
    try expectEqual(1001, seen);
    try std.testing.expectError(error.NoConnection, t.write("late"));
    t = try wirehost.connect("tcp://192.0.2.3:25", 0, Client{ .seen = &seen });
    server.failed(t, .refused);
    try expectEqual(109, seen);
    const timer = try wirehost.callLater(5, &seen, seven);
    try timer.reset(10);
    server.advance(9);
    try expectEqual(109, seen);
    server.advance(1);
    try expectEqual(7, seen);
    try std.testing.expectError(error.Invalid, wirehost.callLater(-1, &seen, seven));
}

const Section = struct { name: []const u8 = "was", n: i32 = 7, on: bool = false };

test "configuration" {
    defer server.end();
    for ([_]struct { []const u8, Section }{
        .{ "", .{} },
        .{ "null", .{} },
        .{ " { } ", .{} },
        .{ "{\"name\": \"x\", \"n\" : -12, \"on\":true}", .{ .name = "x", .n = -12, .on = true } },
        .{ "{\"name\": \"\\r\\n\\u00e9\\ud83d\\ude00\\\"\"}", .{ .name = "\r\né😀\"" } },
    }) |row| {
        try expect(server.start(row[0]));
        const found = try wirehost.config(Section);
        defer found.deinit();
        try std.testing.expectEqualDeep(row[1], found.value);
    }
    for ([_][]const u8{ "{\"other\": 1}", "{\"n\": 1.5}", "{\"n\": \"x\"}", "{\"n\": 1", "{\"on\": 1}", "[1]" }) |text| {
        try expect(server.start(text));
        if (wirehost.config(Section)) |found| {
            found.deinit();
            return error.NotRefused;
        } else |_| {}
    }
}

test "sent strings" {
    const t = try accepted();
    defer server.end();
    const long: [65536]u8 = @splat(0);
    const int8: wirehost.StringReceiver = .{ .prefix = .int8 };
    const int16: wirehost.StringReceiver = .{ .prefix = .int16 };
    const int32: wirehost.StringReceiver = .{ .prefix = .int32 };
    const netstring: wirehost.StringReceiver = .{ .prefix = .netstring };
    try std.testing.expectError(error.TooBig, int8.sendString(t, long[0..256]));
    try std.testing.expectError(error.TooBig, int16.sendString(t, &long));
    try int8.sendString(t, "ab");
    try int16.sendString(t, "c");
    try int32.sendString(t, "d");
    try netstring.sendString(t, "hello world!");
    _ = try t.flush();
    try expectEqualStrings("\x02ab\x00\x01c\x00\x00\x00\x01d12:hello world!,", server.output(t));
}

test "unsigned LEB128" {
    for ([_]u64{ 0, 1, 127, 128, 300, std.math.maxInt(u64) }) |v| {
        var b: wirehost.Bytes = .empty;
        defer b.deinit(std.testing.allocator);
        try wirehost.appendLeb(&b, v);
        const found, const rest = try wirehost.takeLeb(b.items);
        try expect(found == v and rest.len == 0);
        try std.testing.expectError(error.BadState, wirehost.takeLeb(b.items[0 .. b.items.len - 1]));
    }
    try std.testing.expectError(error.BadState, wirehost.takeLeb("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
}

test "time and random" {
    _ = try accepted();
    defer server.end();
    var drawn: [2][70001]u8 = undefined;
    for (&drawn) |*d| try wirehost.random(d);
    try expect(!std.mem.eql(u8, &drawn[0], &drawn[1]));
    try expect(!std.mem.eql(u8, drawn[0][0..4000], drawn[0][65536..69536]));
    server.advance(1500);
    try expectEqual(1767225601.5, wirehost.time());
}

test "the place of an error" {
    const err: error{OfTheProtocol} = wirehost.errorAt(@src(), error.OfTheProtocol);
    try expect(err == error.OfTheProtocol);
    const line = wirehost.testing.last_log.items;
    try expect(std.mem.startsWith(u8, line, "selftest.zig:"));
    try expect(std.mem.endsWith(u8, line, ", test.the place of an error: OfTheProtocol"));
}

test "assets" {
    const Asset = wirehost.Asset;
    wirehost.testing.assets = &.{
        .{ .name = "a", .bytes = "" },
        .{ .name = "pages-old", .bytes = "0123456789" },
        .{ .name = "pages/index.html", .bytes = "<p>" },
    };
    defer wirehost.testing.assets = &.{};
    var room: [Asset.max_name]u8 = undefined;
    try expectEqual(3, Asset.total());
    for (wirehost.testing.assets, 0..) |file, n| {
        const a: Asset = .{ .number = @intCast(n) };
        try std.testing.expectEqualStrings(file.name, a.name(&room));
        try expectEqual(a, Asset.find(file.name));
        try expectEqual(file.bytes.len, a.size());
    }
    for ([_][]const u8{ "", "b", "pages", "pages/index.html2" }) |name| try expectEqual(null, Asset.find(name));
    const old = Asset.find("pages-old").?;
    var buf: [4]u8 = undefined;
    try std.testing.expectEqualStrings("789", old.read(7, &buf));
    try expectEqual(0, old.read(10, &buf).len);
    try expectEqual(0, old.read(std.math.maxInt(usize), &buf).len);
    wirehost.testing.assets = &.{};
    try expectEqual(null, Asset.find("a"));
}

test "metrics" {
    _ = try accepted();
    defer server.end();
    inline for (.{ .counter, .gauge, .histogram }, .{ "m1", "m2", "m3" }, .{ 5, 2, 5 }) |what, name, want| {
        const m = try wirehost.Metric.init(what, name);
        try expectEqual(m, try wirehost.Metric.init(what, name));
        try m.record(3);
        try m.record(2);
        try std.testing.expectError(error.Invalid, m.record(std.math.inf(f64)));
        try expectEqual(want, wirehost.testing.metric(name));
        if (what == .counter) try std.testing.expectError(error.Invalid, m.record(-1));
    }
    try std.testing.expectError(error.Busy, wirehost.Metric.init(.gauge, "m1"));
    for ([_][]const u8{ "", "no name", "1m", "m_count" }) |name|
        try std.testing.expectError(error.Invalid, wirehost.Metric.init(.gauge, name));
    try expectEqual(null, wirehost.testing.metric("other"));
}

const Loops = struct {
    loop: wirehost.LoopingCall = .{},
    times: [8]f64 = undefined,
    count: usize = 0,
    slow: bool = false,

    fn called(l: *Loops) void {
        l.times[l.count] = wirehost.seconds();
        l.count += 1;
        if (l.slow and l.count == 1) server.advance(2500); // it takes so long
        if (l.count == 3) l.loop.stop() catch unreachable;
    }
};

test "looping calls" {
    _ = try accepted();
    defer server.end();
    var l: Loops = .{};
    try std.testing.expectError(error.Invalid, l.loop.start(-1, true, &l, Loops.called));
    try l.loop.start(300, true, &l, Loops.called);
    try std.testing.expectError(error.Busy, l.loop.start(300, true, &l, Loops.called));
    server.advance(5000);
    try std.testing.expectEqualSlices(f64, &.{ 0, 0.3, 0.6 }, l.times[0..l.count]);
    try expect(!l.loop.running and l.loop.timer == 0);

    l = .{ .slow = true }; // what it misses is not made up for
    try l.loop.start(1000, false, &l, Loops.called);
    server.advance(9000);
    try std.testing.expectEqualSlices(f64, &.{ 6, 9, 10 }, l.times[0..l.count]);

    l = .{};
    try l.loop.restore(0, 1000, &l, Loops.called);
    try expect(!l.loop.running);
    const next = try wirehost.callLater(700, &l, Loops.called); // as of the version before
    try l.loop.restore(next.handle, 1000, &l, Loops.called);
    server.advance(1800);
    try std.testing.expectEqualSlices(f64, &.{ 14.7, 15.7 }, l.times[0..l.count]);
    try l.loop.stop();
}

const Waits = struct {
    connected: usize = 0,
    last: ?wirehost.Reason = null,

    fn told(w: *Waits, t: ?wirehost.Transport, why: wirehost.Reason) void {
        if (t != null) w.connected += 1 else w.last = why;
    }

    fn build(_: *Waits) struct {} {
        return .{};
    }
};

test "client services" {
    _ = try accepted();
    defer server.end();
    var w: Waits = .{};
    var s: wirehost.ClientService = .{ .endpoint = "tcp://192.0.2.3:25", .initial_delay = 100 };
    try s.whenConnected(0, &w, Waits.told);
    try expect(w.last == .aborted); // it does not run
    try s.start(&w, Waits.build);
    try std.testing.expectError(error.Busy, s.start(&w, Waits.build));
    try s.whenConnected(0, &w, Waits.told);
    try s.whenConnected(2, &w, Waits.told);
    for (0..2) |_| {
        try expect(w.connected == 0 and w.last == .aborted);
        server.failed(s.current.?, .refused);
        server.advance(99);
        try expect(s.current == null);
        server.advance(1200);
    }
    try expect(w.last == .refused);
    server.made(s.current.?);
    try expect(w.connected == 1);
    try s.whenConnected(1, &w, Waits.told);
    try expect(w.connected == 2); // at once
    server.lose(s.current.?, .lost);
    try s.whenConnected(0, &w, Waits.told);
    server.advance(1200);
    server.made(s.current.?);
    try expect(w.connected == 3);
    s.stop();
    server.advance(100_000);
    try expect(s.current == null and s.timer == null);
    try s.start(&w, Waits.build);
    try s.whenConnected(0, &w, Waits.told);
    s.stop();
    try expect(w.last == .aborted and w.connected == 3);
    server.failed(s.current.?, .aborted);
    try expect(s.timer == null);
}

/// A socket's protocol: it answers what it gets, and notes what else it is told.
const Echo = struct {
    state: u8 = 's',

    var told: [64]u8 = undefined;
    var told_len: usize = 0;

    fn say(what: []const u8) void {
        @memcpy(told[told_len..][0..what.len], what);
        told_len += what.len;
    }

    pub fn startProtocol(_: *Echo, _: wirehost.Socket) void {
        say("start ");
    }

    pub fn datagramReceived(_: *Echo, s: wirehost.Socket, data: []const u8, from: wirehost.Address) !void {
        try s.write(data, from);
        if (std.mem.eql(u8, data, "flush")) try s.flush();
        if (std.mem.eql(u8, data, "peer")) try s.write("x", null);
        if (std.mem.eql(u8, data, "later")) _ = try s.transport().callLater(5);
        if (std.mem.eql(u8, data, "close")) try s.loseConnection();
        if (std.mem.eql(u8, data, "fail")) return error.Failed;
    }

    pub fn delayedCall(_: *Echo, s: wirehost.Socket, _: wirehost.Timer) !void {
        try s.write("due", null);
    }

    pub fn connectionRefused(_: *Echo, s: wirehost.Socket) !void {
        say("refused ");
        try s.join("239.1.2.3");
        try s.leaveGroup("239.1.2.3");
        try s.setOption(.multicast_hops, 2);
    }

    pub fn stopProtocol(_: *Echo, _: wirehost.Socket, why: wirehost.Reason) void {
        say(@tagName(why));
    }

    pub fn saveState(e: *Echo, out: *wirehost.Bytes) !void {
        try out.append(wirehost.allocator, e.state);
    }

    pub fn restoreState(e: *Echo, _: wirehost.Socket, version: i32, state: []const u8) !void {
        if (version != 1 or state.len != 1) return error.NoState;
        say("restored ");
        e.state = state[0];
    }
};

const Sockets = struct {
    var none = false;

    pub fn buildDatagramProtocol(_: *Sockets, _: wirehost.Socket) ?Echo {
        return if (none) null else .{};
    }
};

fn expectSent(at: usize, socket: i32, to: ?wirehost.Address, data: []const u8) !void {
    const d = wirehost.testing.sent.items[at];
    try expectEqual(socket, d.socket);
    try expectEqualStrings(data, d.data);
    if (to) |a| try expect(d.to.?.eql(a)) else try expect(d.to == null);
}

test "sockets" {
    const world = wirehost.testing.Server(Sockets);
    const testing = wirehost.testing;
    try expect(world.start(""));
    defer world.end();
    Echo.told_len = 0;
    const four: wirehost.Address = .v4(.{ 192, 0, 2, 1 }, 5000);
    const six: wirehost.Address = .{ .family = 6, .ip = @splat(3), .port = 6000, .zone = 3 };
    const s = world.bind();
    const texts = [_][]const u8{ "a", "", "1234567", "12345678", "123456789" };
    world.receive(s, six, &texts);
    try expectEqual(1, testing.send_calls);
    for (texts, 0..) |text, i| try expectSent(i, s.handle, six, text);
    world.receive(s, four, &.{ "flush", "peer" });
    try expectEqual(3, testing.send_calls);
    try expectSent(7, s.handle, null, "x");
    testing.full = 2;
    world.receive(s, four, &texts);
    try expectEqual(3, s.dropped());
    testing.full = 0;
    world.receive(s, four, &.{"later"});
    world.advance(5);
    try expectSent(11, s.handle, null, "due");

    const moved: wirehost.Socket = .{ .handle = world.reload(s.transport(), 1).?.handle };
    try expect(world.reload(s.transport(), 2) == null);
    world.receive(moved, four, &.{"b"});
    try expectSent(12, moved.handle, four, "b");
    world.receive(moved, four, &.{ "fail", "never" });
    world.receive(s, four, &.{ "close", "never" });
    try expectEqual(15, testing.sent.items.len);
    try expectEqualStrings("start restored aborteddone", Echo.told[0..Echo.told_len]);
    try std.testing.expectError(error.NoConnection, s.write("late", four));

    Echo.told_len = 0;
    const c = try wirehost.openDatagram("udp://192.0.2.9:123", Echo{});
    try std.testing.expectError(error.NoConnection, c.write("early", null));
    world.started(c);
    world.refused(c);
    world.lose(c.transport(), .lost);
    try expectEqualStrings("start refused lost", Echo.told[0..Echo.told_len]);

    Sockets.none = true;
    defer Sockets.none = false;
    try expect(testing.Server(Sockets).ended(world.bind().transport()));
}

/// Says a word when it is made, and again for what comes; its state is empty.
const Word = struct {
    word: []const u8,

    pub fn connectionMade(p: *Word, t: wirehost.Transport) !void {
        try t.write(p.word);
    }

    pub fn dataReceived(p: *Word, t: wirehost.Transport, _: []const u8) !void {
        try t.write(p.word);
    }

    pub fn saveState(_: *Word, _: *wirehost.Bytes) void {}

    pub fn restoreState(_: *Word, _: wirehost.Transport, _: i32, _: []const u8) void {}
};

/// A factory of Words, of the plugin's and of ports.
const Words = struct {
    word: []const u8 = "main",
    left: u32 = 10,

    pub fn buildProtocol(f: *Words, _: wirehost.Transport) ?Word {
        if (f.left == 0) return null;
        f.left -= 1;
        return .{ .word = f.word };
    }
};

test "ports" {
    const testing = wirehost.testing;
    const world = testing.Server(Words);
    try expect(world.start("{}"));
    defer world.end();
    var buf: [64]u8 = undefined;
    var passive: Words = .{ .word = "passive", .left = 2 };
    const port = try wirehost.listen("tcp://127.0.0.1:0", &passive);
    try expectEqual(port, testing.listening().?);
    const host = try port.getHost(&buf);
    try expect(std.mem.startsWith(u8, host, "tcp://127.0.0.1:4000"));
    const c = world.acceptAt(port).?;
    const plain = world.accept().?;
    try expectEqualStrings("passive", world.output(c));
    try expectEqualStrings("main", world.output(plain));
    try expectEqual(port, (try c.listener()).?);
    try expect(try plain.listener() == null);

    const moved = world.reload(c, 1).?;
    world.send(moved, "x");
    try expectEqualStrings("passive", world.output(moved));
    try expect(world.acceptAt(port) == null); // the factory has had enough
    try std.testing.expectError(error.Busy, wirehost.listen(host, &passive));
    try std.testing.expectError(error.Invalid, wirehost.listen("udp://127.0.0.1:1", &passive));

    try port.stopListening();
    try std.testing.expectError(error.NoConnection, port.stopListening());
    try expect(world.acceptAt(port) == null and testing.listening() == null);
    const nobodys = world.reload(moved, 1).?;
    world.send(nobodys, "x");
    try expectEqualStrings("main", world.output(nobodys));
    var restored: Words = .{ .word = "restored" };
    _ = try wirehost.restorePort(port.handle, &restored);
    const taken = world.reload(moved, 1).?;
    world.send(taken, "x");
    try expectEqualStrings("restored", world.output(taken));
    port.stopListening() catch {};

    testing.deny = true;
    try std.testing.expectError(error.NotAllowed, wirehost.listen("tcp://127.0.0.1:0", &passive));
}

test "a port that there is no memory for" {
    const world = wirehost.testing.Server(Words);
    try expect(world.start("{}"));
    defer world.end();
    var words: Words = .{ .word = "passive" };
    const backing = std.testing.allocator_instance.backing;
    std.testing.allocator_instance.backing = std.testing.failing_allocator;
    var rest: [4096]?[]u8 = @splat(null); // what the allocator has already
    for (&rest, 0..) |*one, n| one.* = wirehost.allocator.alloc(u8, if (n < rest.len / 2) 512 else 1) catch null;
    const port = wirehost.listen("tcp://127.0.0.1:0", &words);
    std.testing.allocator_instance.backing = backing;
    for (rest) |one| if (one) |taken| wirehost.allocator.free(taken);
    try std.testing.expectError(error.OutOfMemory, port);
    try expect(wirehost.testing.listening() == null);
}
