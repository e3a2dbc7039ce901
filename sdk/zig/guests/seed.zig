//! seed: it sends the seed of its instance and 16 random bytes, and closes.
const wirehost = @import("wirehost");

const Seed = struct {
    seed: [32]u8,

    pub fn connectionMade(s: *Seed, t: wirehost.Transport) !void {
        try t.write(&s.seed);
        const drawn = try wirehost.allocator.alloc(u8, 70000);
        defer wirehost.allocator.free(drawn);
        try wirehost.random(drawn);
        if (wirehost.time() < 1.7e9) return error.NoTime;
        try t.write(drawn[drawn.len - 16 ..]);
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
