;; Keeps what it is told to in all that an instance has: 8 pages of memory and those
;; that it grew, globals of each type. Its start fills five pages and clears a segment.
;; A command is a letter and little-endian operands; each answers, with 8 bytes or 24.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "reactor" "callLater" (func $later (param i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 0x30000) "from the module")
  (data (i32.const 0x70000) "cleared by its start")
  (global $a (mut i32) (i32.const 1))
  (global $b (mut i64) (i64.const 2))
  (global $c (mut f32) (f32.const 3))
  (global $d (mut f64) (f64.const 4))
  (global $conn (mut i32) (i32.const 0))
  (func $fill
    (local $p i32)
    (loop $l
      (i64.store (i32.add (local.get $p) (i32.const 0x20000))
        (i64.add (i64.mul (i64.extend_i32_u (local.get $p)) (i64.const 0x9E3779B97F4A7C15)) (i64.const 1)))
      (br_if $l (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 8))) (i32.const 0x50000))))
    (memory.fill (i32.const 0x70000) (i32.const 0) (i32.const 64))
    (global.set $a (i32.const 0x11)))
  (start $fill)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_1000))
  (func $answer (param $v i64)
    (i64.store (i32.const 0x1400) (local.get $v))
    (drop (call $write (global.get $conn) (i32.const 0x1400) (i32.const 8))))
  (func $sum (result i64)
    (local $p i32) (local $end i32) (local $v i64)
    (local.set $p (i32.const 0x1408)) ;; behind the buffer and the answer
    (local.set $end (i32.shl (memory.size) (i32.const 16)))
    (loop $l
      (local.set $v (i64.add (i64.mul (local.get $v) (i64.const 0x100000001B3)) (i64.load (local.get $p))))
      (br_if $l (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 8))) (local.get $end))))
    (local.get $v))
  (func (export "connectionMade") (param $id i32) (global.set $conn (local.get $id)))
  (func (export "dataReceived") (param $id i32) (param $p i32) (param $len i32)
    (local $c i32)
    (local.set $c (i32.load8_u (local.get $p)))
    (if (i32.eq (local.get $c) (i32.const 119)) (then ;; w: an address, eight bytes
      (i64.store (i32.load offset=1 (local.get $p)) (i64.load offset=5 (local.get $p)))
      (return (call $answer (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 114)) (then ;; r: an address
      (return (call $answer (i64.load (i32.load offset=1 (local.get $p)))))))
    (if (i32.eq (local.get $c) (i32.const 103)) (then ;; g: pages to grow by
      (return (call $answer (i64.extend_i32_s (memory.grow (i32.load offset=1 (local.get $p))))))))
    (if (i32.eq (local.get $c) (i32.const 102)) (then ;; f: a byte for all of memory behind the answer
      (memory.fill (i32.const 0x1408) (i32.load8_u offset=1 (local.get $p))
        (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 0x1408)))
      (return (call $answer (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 115)) (then ;; s: the sum of memory
      (return (call $answer (call $sum)))))
    (if (i32.eq (local.get $c) (i32.const 71)) (then ;; G: the globals' bits
      (global.set $a (i32.load offset=1 (local.get $p)))
      (global.set $b (i64.load offset=5 (local.get $p)))
      (global.set $c (f32.load offset=13 (local.get $p)))
      (global.set $d (f64.load offset=17 (local.get $p)))
      (return (call $answer (i64.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 81)) (then ;; Q: what they are
      (i32.store (i32.const 0x1000) (global.get $a))
      (i64.store (i32.const 0x1004) (global.get $b))
      (f32.store (i32.const 0x100c) (global.get $c))
      (f64.store (i32.const 0x1010) (global.get $d))
      (drop (call $write (global.get $conn) (i32.const 0x1000) (i32.const 24)))
      (return)))
    (if (i32.eq (local.get $c) (i32.const 116)) (then ;; t: a timer of so many ms
      (return (call $answer (i64.extend_i32_s (i32.shr_s
        (call $later (i32.load offset=1 (local.get $p))) (i32.const 31)))))))
    (unreachable))
  (func (export "delayedCall") (param i32)
    (global.set $b (i64.add (global.get $b) (i64.const 1)))
    (call $answer (global.get $b)))
  (func (export "readConnectionLost") (param i32) (call $answer (call $sum)))
  (func (export "connectionLost") (param i32 i32))
  (func (export "saveState") (param $id i32) (result i64)
    (if (i32.eqz (local.get $id)) (then (return (i64.const 0))))
    (i64.store (i32.const 0x1000) (global.get $b))
    (i64.const 0x0000_1000_0000_0008))
  (func (export "restoreState") (param $id i32) (param $version i32) (param $p i32) (param $len i32) (result i32)
    (if (i32.eqz (local.get $id)) (then (return (i32.const 0))))
    (global.set $conn (local.get $id))
    (global.set $b (i64.load (local.get $p)))
    (i32.const 0)))
