//! seed: it sends the seed of its instance, and closes.
const wirehost = @import("wirehost");

const Seed = struct {
    seed: [32]u8,

    pub fn connectionMade(s: *Seed, t: wirehost.Transport) !void {
        try t.write(&s.seed);
        try t.loseConnection();
    }
};

const Factory = struct {
    seed: [32]u8 = @splat(0),

    pub fn instanceMade(f: *Factory, seed: [32]u8) void {
        f.seed = seed;
    }

    pub fn buildProtocol(f: *Factory, _: wirehost.Transport) ?Seed {
        return .{ .seed = f.seed };
    }
};

comptime {
    wirehost.plugin(Factory);
}
