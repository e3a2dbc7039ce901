//! datagrams: it writes back every datagram, but for "count", which it answers with how
//! many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
//! what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
//! "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
//! PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
//! little-endian.
const std = @import("std");
const wirehost = @import("wirehost");

pub const panic = wirehost.panic;

const Client = struct {
    server: wirehost.Socket,
    asker: wirehost.Address,

    pub fn startProtocol(_: *Client, s: wirehost.Socket) !void {
        try s.write("hello", null);
    }

    pub fn datagramReceived(c: *Client, s: wirehost.Socket, data: []const u8, _: wirehost.Address) !void {
        try c.tell(s, data);
    }

    pub fn connectionRefused(c: *Client, s: wirehost.Socket) !void {
        try c.tell(s, "refused");
    }

    fn tell(c: *Client, s: wirehost.Socket, what: []const u8) !void {
        try c.server.write(what, c.asker);
        try s.loseConnection();
    }
};

const Server = struct {
    count: u32 = 0,

    pub fn datagramReceived(p: *Server, s: wirehost.Socket, data: []const u8, from: wirehost.Address) !void {
        p.count += 1;
        if (std.mem.startsWith(u8, data, "ask ")) {
            const client: Client = .{ .server = s, .asker = from };
            _ = wirehost.openDatagram(data[4..], client) catch return s.write("not allowed", from);
        } else if (std.mem.eql(u8, data, "count")) {
            var digits: [10]u8 = undefined;
            try s.write(wirehost.decimal(&digits, p.count), from);
        } else {
            const n = std.mem.indexOfScalar(u8, data, ' ') orelse data.len;
            const rest = data[@min(n + 1, data.len)..];
            if (std.mem.eql(u8, data[0..n], "shout")) return shout(s, data, rest);
            const known = does(s, data[0..n], rest) catch return s.write("no", from);
            try s.write(if (known) "yes" else data, from);
        }
    }

    fn does(s: wirehost.Socket, word: []const u8, rest: []const u8) !bool {
        if (std.mem.eql(u8, word, "join")) {
            try s.join(rest);
        } else if (std.mem.eql(u8, word, "leave")) {
            try s.leaveGroup(rest);
        } else {
            const option: wirehost.DatagramOption =
                if (std.mem.eql(u8, word, "mhops")) .multicast_hops else if (std.mem.eql(u8, word, "loop"))
                    .multicast_loop
                else if (std.mem.eql(u8, word, "broadcast"))
                    .broadcast
                else if (std.mem.eql(u8, word, "hops"))
                    .hops
                else
                    return false;
            try s.setOption(option, try std.fmt.parseInt(i32, rest, 10));
        }
        return true;
    }

    fn shout(s: wirehost.Socket, data: []const u8, port: []const u8) !void {
        for ([_][4]u8{ .{ 239, 1, 2, 3 }, @splat(255) }) |ip| {
            try s.write(data, wirehost.Address.v4(ip, try std.fmt.parseInt(u16, port, 10)));
        }
    }

    pub fn saveState(p: *Server, out: *wirehost.Bytes) !void {
        var le: [4]u8 = undefined;
        std.mem.writeInt(u32, &le, p.count, .little);
        try out.appendSlice(wirehost.allocator, &le);
    }

    pub fn restoreState(p: *Server, _: wirehost.Socket, version: i32, state: []const u8) !void {
        if (version != 1 or state.len != 4) return error.NoState;
        p.count = std.mem.readInt(u32, state[0..4], .little);
    }
};

comptime {
    wirehost.plugin(struct {
        pub const log_prefix = "datagrams";
        pub const DatagramProtocol = Server;
    });
}
