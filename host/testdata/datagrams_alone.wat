;; Sends every batch of datagrams back, and knows nothing of connections.
(module
  (import "datagram" "send" (func $send (param i32 i32 i32) (result i32)))
  (memory (export "memory") 18)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0010_0000)) ;; 1 MiB at 1024
  (func (export "datagramsReceived") (param $sock i32) (param $ptr i32) (param $n i32)
    (drop (call $send (local.get $sock) (local.get $ptr) (local.get $n)))))
