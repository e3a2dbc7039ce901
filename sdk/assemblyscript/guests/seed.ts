// seed: it sends the seed of its instance, and closes. Math.random is seeded too.
import { Factory, Protocol, Transport, register } from "../wirehost";
export * from "../exports";

class Seed extends Protocol {
  constructor(private seed: Uint8Array) {
    super();
  }

  connectionMade(): void {
    this.transport.write(this.seed);
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
