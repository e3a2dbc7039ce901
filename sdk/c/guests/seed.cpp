// seed: it sends the seed of its instance, and closes.
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
		transport.loseConnection();
	}
};

struct SeedFactory : Factory {
	Protocol *buildProtocol(Transport) override { return new Seed; }
};

WIREHOST_FACTORY(SeedFactory)
