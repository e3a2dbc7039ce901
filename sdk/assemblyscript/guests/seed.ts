// seed: it sends the seed of its instance and 16 random bytes, and closes. Math.random is seeded too.
import { Factory, Protocol, Transport, random, register, time } from "../wirehost";
export * from "../exports";

class Seed extends Protocol {
  constructor(private seed: Uint8Array) {
    super();
  }

  connectionMade(): void {
    this.transport.write(this.seed);
    const drawn = new Uint8Array(70000);
    if (random(drawn) < 0 || time() < 1.7e9) throw new Error("no random bytes, or no time");
    this.transport.write(drawn.subarray(-16));
    this.transport.loseConnection();
  }
}

class SeedFactory extends Factory {
  private seed: Uint8Array = new Uint8Array(0);

  instanceMade(seed: Uint8Array): void {
    const own = new Uint8Array(40); // seed is the server's again when this returns
    own.set(seed);
    store<f64>(own.dataStart, Math.random(), 32);
    this.seed = own;
  }

  buildProtocol(t: Transport): Protocol | null {
    return new Seed(this.seed);
  }
}

register(new SeedFactory());
