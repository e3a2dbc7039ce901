// seed: it sends the seed of its instance and 16 random bytes, and closes.
#include "../wirehost.hpp"

using namespace wirehost;

static uint8_t own[32];

void wh_instance_made(const uint8_t *seed, size_t n) {
	for (size_t i = 0; i < n; i++)
		own[i] = seed[i];
}

struct Seed : Protocol {
	void connectionMade() override {
		transport.write({own, sizeof own});
		static uint8_t drawn[70000];
		if (wh_random(drawn, sizeof drawn) != WH_OK || wh_time() < 1.7e9)
			__builtin_trap();
		transport.write({drawn + sizeof drawn - 16, 16});
		transport.loseConnection();
	}
};

struct SeedFactory : Factory {
	Protocol *buildProtocol(Transport) override { return new Seed; }
};

WIREHOST_FACTORY(SeedFactory)
