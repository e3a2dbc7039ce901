;; Registers its pull producer again each time that it is asked, writes nothing,
;; and so has something to wait for when the client has gone.
(module
  (import "transport" "registerProducer" (func $register (param i32 i32) (result i32)))
  (import "transport" "unregisterProducer" (func $unregister (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $register (local.get $conn) (i32.const 0))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (func (export "pauseProducing") (param $conn i32))
  (func (export "resumeProducing") (param $conn i32)
    (drop (call $unregister (local.get $conn)))
    (drop (call $register (local.get $conn) (i32.const 0))))
  (func (export "stopProducing") (param $conn i32)
    (drop (call $register (local.get $conn) (i32.const 0)))))
