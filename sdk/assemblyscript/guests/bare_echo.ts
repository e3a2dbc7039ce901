// echo on the bare ABI (abi/ABI.md), without the SDK: all that a guest must have.
@external("transport", "write")
declare function write(conn: i32, ptr: usize, len: usize): i32;

const receive: usize = heap.alloc(65536);

export function abi_version_1(): void {}

export function receiveBuffer(): u64 {
  return ((<u64>receive) << 32) | 65536;
}

export function connectionMade(conn: i32): void {}

export function dataReceived(conn: i32, ptr: usize, len: usize): void {
  write(conn, ptr, len);
}

export function connectionLost(conn: i32, reason: i32): void {}
