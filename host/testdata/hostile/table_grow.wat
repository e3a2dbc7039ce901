;; Grows a table by 200 million; traps as unreachable where that is refused.
(module
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (drop (table.grow $t (ref.null func) (i32.const 200000000)))
    (if (i32.eq (table.size $t) (i32.const 1)) (then (unreachable))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (table $t 1 funcref))
