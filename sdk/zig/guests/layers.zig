//! layers: lines, each answered: `state` with the transport's bits, `who` with peer, host, ALPN and
//! the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
//! `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
//! `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
//! `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
//! with who has that name, and "secure" is told. What can't be done is answered with "refused". The
//! state is the handle of the other connection, 4 bytes little-endian, 0 of none.
const std = @import("std");
const wirehost = @import("wirehost");

pub const panic = wirehost.panic;

const eql = std.mem.eql;

fn say(t: wirehost.Transport, words: []const []const u8) !void {
    for (words, 1..) |word, n| {
        try t.write(word);
        try t.write(if (n < words.len) " " else "\r\n");
    }
}

fn saveSide(other: wirehost.Transport, out: *wirehost.Bytes) !void {
    var le: [4]u8 = undefined;
    std.mem.writeInt(i32, &le, other.handle, .little);
    try out.appendSlice(wirehost.allocator, &le);
}

fn otherOf(version: i32, state: []const u8) !wirehost.Transport {
    if (version != 1 or state.len != 4) return error.NoState;
    return .{ .handle = std.mem.readInt(i32, state[0..4], .little) };
}

/// An accepted connection.
const Front = struct {
    lines: wirehost.LineReceiver = .{},
    other: wirehost.Transport = .{ .handle = 0 },

    pub fn deinit(p: *Front) void {
        p.lines.deinit();
    }

    pub fn dataReceived(p: *Front, t: wirehost.Transport, data: []const u8) !void {
        try p.lines.receive(p, t, data);
    }

    pub fn lineReceived(p: *Front, t: wirehost.Transport, line: []const u8) !void {
        const n = std.mem.indexOfScalar(u8, line, ' ') orelse line.len;
        p.does(t, line[0..n], line[@min(n + 1, line.len)..]) catch try say(t, &.{"refused"});
    }

    fn does(p: *Front, t: wirehost.Transport, word: []const u8, rest: []const u8) !void {
        var digits: [10]u8 = undefined;
        if (eql(u8, word, "state")) {
            try say(t, &.{wirehost.decimal(&digits, @intCast(try t.state()))});
        } else if (eql(u8, word, "who")) {
            try who(t);
        } else if (eql(u8, word, "time")) {
            try say(t, &.{wirehost.decimal(&digits, @trunc(wirehost.time()))});
        } else if (eql(u8, word, "random")) {
            const b = try wirehost.allocator.alloc(u8, try std.fmt.parseInt(usize, rest, 10));
            defer wirehost.allocator.free(b);
            try wirehost.random(b);
            try t.write(b);
        } else if (eql(u8, word, "over")) {
            try t.handOver(rest, "who\r\n");
        } else if (eql(u8, word, "connect")) {
            p.other = try wirehost.connect(rest, 0, Back{ .other = t });
        } else if (eql(u8, word, "as")) {
            p.other = try wirehost.connectAs(t, rest, 0, Back{ .other = t });
        } else if (eql(u8, word, ">")) {
            try say(p.other, &.{rest});
        } else return error.NoSuchWord;
    }

    fn who(t: wirehost.Transport) !void {
        var peer: [128]u8 = undefined;
        var host: [128]u8 = undefined;
        var alpn: [128]u8 = undefined;
        var certificate: [2048]u8 = undefined;
        var digits: [10]u8 = undefined;
        var sum: u32 = 0;
        for (try t.peerCertificate(&certificate)) |b| sum += b;
        try say(t, &.{
            try t.peer(&peer),                try t.getHost(&host),
            try t.negotiatedProtocol(&alpn), wirehost.decimal(&digits, sum),
        });
    }

    pub fn connectionLost(p: *Front, _: wirehost.Transport, _: wirehost.Reason) void {
        p.other.loseConnection() catch {}; // it has ended
    }

    pub fn saveState(p: *Front, out: *wirehost.Bytes) !void {
        try saveSide(p.other, out);
    }

    pub fn restoreState(p: *Front, _: wirehost.Transport, version: i32, state: []const u8) !void {
        p.other = try otherOf(version, state);
    }
};

/// One that was made.
const Back = struct {
    lines: wirehost.LineReceiver = .{},
    other: wirehost.Transport = .{ .handle = 0 },

    pub fn deinit(p: *Back) void {
        p.lines.deinit();
    }

    pub fn connectionMade(p: *Back, _: wirehost.Transport) !void {
        try say(p.other, &.{"made"});
    }

    pub fn handshakeCompleted(p: *Back, _: wirehost.Transport) !void {
        try say(p.other, &.{"secure"});
    }

    pub fn dataReceived(p: *Back, t: wirehost.Transport, data: []const u8) !void {
        try p.lines.receive(p, t, data);
    }

    pub fn lineReceived(p: *Back, t: wirehost.Transport, line: []const u8) !void {
        if (!std.mem.startsWith(u8, line, "go ")) return say(p.other, &.{line});
        t.startTLSClient(line[3..]) catch try say(p.other, &.{"refused"});
    }

    pub fn connectionLost(p: *Back, t: wirehost.Transport, why: wirehost.Reason) !void {
        try p.ended(t, "lost", why);
    }

    pub fn clientConnectionFailed(p: *Back, t: wirehost.Transport, why: wirehost.Reason) !void {
        try p.ended(t, "failed", why);
    }

    fn ended(p: *Back, t: wirehost.Transport, how: []const u8, why: wirehost.Reason) !void {
        var text: [512]u8 = undefined;
        var digits: [10]u8 = undefined;
        if (p.other.disconnecting()) return;
        try say(p.other, &.{ how, wirehost.decimal(&digits, @intCast(@intFromEnum(why))), try t.reasonText(&text) });
    }

    pub fn saveState(p: *Back, out: *wirehost.Bytes) !void {
        try saveSide(p.other, out);
    }

    pub fn restoreState(p: *Back, _: wirehost.Transport, version: i32, state: []const u8) !void {
        p.other = try otherOf(version, state);
    }
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Front;
        pub const ClientProtocol = Back;
        pub const log_prefix = "layers";
    });
}
