//! starttls: it writes back every line, and begins TLS after "tls", after the raw bytes
//! "tls" that follow "raw", and a moment after "pause".
const std = @import("std");
const wirehost = @import("wirehost");

const Lines = struct {
    lines: wirehost.LineReceiver = .{},

    pub fn deinit(l: *Lines) void {
        l.lines.deinit();
    }

    fn begin(l: *Lines, t: wirehost.Transport) !void {
        try l.lines.sendLine(t, "go");
        try t.startTLS();
    }

    pub fn dataReceived(l: *Lines, t: wirehost.Transport, data: []const u8) !void {
        try l.lines.receive(l, t, data);
    }

    pub fn lineReceived(l: *Lines, t: wirehost.Transport, line: []const u8) !void {
        if (std.mem.eql(u8, line, "tls")) {
            try l.begin(t);
        } else if (std.mem.eql(u8, line, "raw")) {
            l.lines.setRawMode();
        } else if (std.mem.eql(u8, line, "pause")) {
            try l.lines.pauseProducing(t);
            _ = try t.callLater(1);
        } else try l.lines.sendLine(t, line);
    }

    pub fn rawDataReceived(l: *Lines, t: wirehost.Transport, data: []const u8) !void {
        try l.begin(t);
        l.lines.setLineMode(data.len - 3);
    }

    pub fn delayedCall(l: *Lines, t: wirehost.Transport, _: wirehost.Timer) !void {
        try l.begin(t);
    }

    pub fn handshakeCompleted(l: *Lines, t: wirehost.Transport) !void {
        try l.lines.sendLine(t, "up");
        try l.lines.resumeProducing(l, t);
    }
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Lines;
    });
}
