//! linereceiver: it writes back every line followed by the delimiter. See
//! plugins/linereceiver for its configuration and its state.
const std = @import("std");
const wirehost = @import("wirehost");

const Config = struct {
    delimiter: []const u8 = "\r\n",
    max_length: u30 = wirehost.LineReceiver.default_max_length,
    raw: bool = false, // a line `raw N` is answered by the next N raw bytes
};

const Lines = struct {
    lines: wirehost.LineReceiver,
    may_raw: bool,
    raw: u64 = 0, // raw bytes still to come

    pub fn deinit(l: *Lines) void {
        l.lines.deinit();
    }

    pub fn dataReceived(l: *Lines, t: wirehost.Transport, data: []const u8) !void {
        try l.lines.receive(l, t, data);
    }

    pub fn lineReceived(l: *Lines, t: wirehost.Transport, line: []const u8) !void {
        if (l.may_raw) if (rawCount(line)) |n| {
            l.raw = n;
            if (n > 0) l.lines.setRawMode();
            return;
        };
        try l.lines.sendLine(t, line);
    }

    pub fn rawDataReceived(l: *Lines, t: wirehost.Transport, data: []const u8) !void {
        const mine: usize = @intCast(@min(l.raw, data.len));
        try t.write(data[0..mine]);
        l.raw -= mine;
        if (l.raw == 0) l.lines.setLineMode(data.len - mine);
    }

    pub fn saveState(l: *Lines, to: *wirehost.Bytes) !void {
        try l.lines.saveState(to);
        try wirehost.appendLeb(to, l.raw);
    }

    pub fn restoreState(l: *Lines, _: wirehost.Transport, version: i32, state: []const u8) !void {
        if (version != 1) return error.OtherStateVersion;
        l.raw, const rest = try wirehost.takeLeb(try l.lines.restoreState(state));
        if (rest.len > 0 or l.lines.raw != (l.raw > 0)) return error.BadState;
    }
};

/// Reads a line `raw N`, N in decimal digits.
fn rawCount(line: []const u8) ?u64 {
    if (line.len < 5 or line.len > 22 or !std.mem.startsWith(u8, line, "raw ")) return null;
    var n: u64 = 0;
    for (line[4..]) |b| {
        if (b < '0' or b > '9') return null;
        n = n * 10 + (b - '0');
    }
    return n;
}

const Factory = struct {
    config: Config = .{},

    pub const log_prefix = "linereceiver";

    pub fn start(f: *Factory) !void {
        f.config = (try wirehost.config(Config)).value; // stays for good
        if (f.config.delimiter.len == 0) return error.ConfigDelimiterIsEmpty;
        if (f.config.max_length == 0) return error.ConfigMaxLengthIsZero;
    }

    pub fn buildProtocol(f: *Factory, _: wirehost.Transport) ?Lines {
        return .{
            .lines = .{ .delimiter = f.config.delimiter, .max_length = f.config.max_length },
            .may_raw = f.config.raw,
        };
    }
};

comptime {
    wirehost.plugin(Factory);
}
