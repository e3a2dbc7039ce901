//! ports: lines. `listen ENDPOINT` opens a port, and is answered with where it is, or "refused";
//! `stop` closes it, and any other line is answered with "main". Who comes to a port, and each of
//! his lines, gets "passive". The factory's state is the port's handle, 4 bytes little-endian, 0 of
//! none; those of connections are empty.
const std = @import("std");
const wirehost = @import("wirehost");

pub const panic = wirehost.panic;

const Passive = struct {
    lines: wirehost.LineReceiver = .{},

    pub fn deinit(p: *Passive) void {
        p.lines.deinit();
    }

    pub fn connectionMade(p: *Passive, t: wirehost.Transport) !void {
        try p.lines.sendLine(t, "passive");
    }

    pub fn dataReceived(p: *Passive, t: wirehost.Transport, data: []const u8) !void {
        try p.lines.receive(p, t, data);
    }

    pub fn lineReceived(p: *Passive, t: wirehost.Transport, _: []const u8) !void {
        try p.connectionMade(t);
    }

    pub fn saveState(_: *Passive, _: *wirehost.Bytes) void {}

    pub fn restoreState(_: *Passive, _: wirehost.Transport, _: i32, state: []const u8) !void {
        if (state.len > 0) return error.NoState;
    }
};

const PassiveFactory = struct {
    pub fn buildProtocol(_: *const PassiveFactory, _: wirehost.Transport) ?Passive {
        return .{};
    }
};

const passive: PassiveFactory = .{};

var port: wirehost.Port = .{ .handle = 0 };

const Control = struct {
    lines: wirehost.LineReceiver = .{},

    pub fn deinit(p: *Control) void {
        p.lines.deinit();
    }

    pub fn dataReceived(p: *Control, t: wirehost.Transport, data: []const u8) !void {
        try p.lines.receive(p, t, data);
    }

    pub fn lineReceived(p: *Control, t: wirehost.Transport, line: []const u8) !void {
        var host: [128]u8 = undefined;
        if (std.mem.startsWith(u8, line, "listen ")) {
            port = wirehost.listen(line[7..], &passive) catch return p.lines.sendLine(t, "refused");
            try p.lines.sendLine(t, try port.getHost(&host));
        } else if (std.mem.eql(u8, line, "stop")) {
            port.stopListening() catch return p.lines.sendLine(t, "refused");
            try p.lines.sendLine(t, "stopped");
        } else {
            try p.lines.sendLine(t, "main");
        }
    }

    pub fn saveState(_: *Control, _: *wirehost.Bytes) void {}

    pub fn restoreState(_: *Control, _: wirehost.Transport, _: i32, state: []const u8) !void {
        if (state.len > 0) return error.NoState;
    }
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Control;
        pub const log_prefix = "ports";

        pub fn saveState(_: *@This(), out: *wirehost.Bytes) !void {
            var le: [4]u8 = undefined;
            std.mem.writeInt(i32, &le, port.handle, .little);
            try out.appendSlice(wirehost.allocator, &le);
        }

        pub fn restoreState(_: *@This(), version: i32, state: []const u8) !void {
            if (version != 1 or state.len != 4) return error.NoState;
            const handle = std.mem.readInt(i32, state[0..4], .little);
            if (handle > 0) port = try wirehost.restorePort(handle, &passive);
        }
    });
}
