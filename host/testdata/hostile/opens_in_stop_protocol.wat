;; Opens a datagram socket where it is told of another's end, whose state does not move.
(module
  (import "datagram" "open" (func $open (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "udp://127.0.0.1:9")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000))
  (func (export "datagramsReceived") (param i32 i32 i32))
  (func (export "stopProtocol") (param i32 i32) (drop (call $open (i32.const 16) (i32.const 17)))))
