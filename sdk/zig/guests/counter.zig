//! counter: it answers each line with how many there were. Its state is the count, 4
//! bytes little-endian, and then the half line that is received: the same in every
//! language, so that a reload may go from one to another.
const std = @import("std");
const wirehost = @import("wirehost");

const Counter = struct {
    lines: wirehost.LineReceiver = .{},
    count: u32 = 0,

    pub fn deinit(c: *Counter) void {
        c.lines.deinit();
    }

    pub fn dataReceived(c: *Counter, t: wirehost.Transport, data: []const u8) !void {
        try c.lines.receive(c, t, data);
    }

    pub fn lineReceived(c: *Counter, t: wirehost.Transport, _: []const u8) !void {
        c.count +%= 1;
        var digits: [10]u8 = undefined;
        try c.lines.sendLine(t, wirehost.decimal(&digits, c.count));
    }

    pub fn saveState(c: *Counter, to: *wirehost.Bytes) !void {
        var count: [4]u8 = undefined;
        std.mem.writeInt(u32, &count, c.count, .little);
        try to.appendSlice(wirehost.allocator, &count);
        try to.appendSlice(wirehost.allocator, c.lines.held());
    }

    pub fn restoreState(c: *Counter, _: wirehost.Transport, version: i32, state: []const u8) !void {
        if (version != 1 or state.len < 4) return error.NoStateOfACounter;
        c.count = std.mem.readInt(u32, state[0..4], .little);
        try c.lines.setHeld(state[4..]);
    }
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Counter;
        pub const log_prefix = "counter";
    });
}
