;; Traps as soon as it has a datagram socket.
(module
  (memory (export "memory") 2)
  (data (i32.const 16) "udp://127.0.0.1:9")
  (data (i32.const 48) "start")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000))
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param i32 i32 i32))
  (func (export "connectionLost") (param i32 i32))
  (func (export "datagramsReceived") (param i32 i32 i32))
  (func (export "stopProtocol") (param i32 i32))
  (func (export "startProtocol") (param i32) (unreachable)))
