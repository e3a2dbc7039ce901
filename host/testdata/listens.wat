;; Does what it receives, a letter and what is behind it, and answers with numbers of 32
;; bits: l ENDPOINT listens; s HANDLE stops, h HANDLE is a listener's host, in text; f is the
;; listener that the connection came to; o is what startFactory's listen returned, at the
;; endpoint that the configuration is, or where that begins with x, what stopListening did
;; behind it; b is what it has returned in buildProtocol, which calls it for the connection's
;; own listener where the instance's mark is 55; m NUMBER marks the instance, g is its mark; r is how
;; many listeners were restored with a state, which one has whose instance's mark is 77, or
;; 78, and 78 is refused; t traps. Its connections have a state, unless the mark is 99.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "transport" "getHost" (func $getHost (param i32 i32 i32) (result i32)))
  (import "transport" "listener" (func $listener (param i32) (result i32)))
  (import "reactor" "listen" (func $listen (param i32 i32) (result i32)))
  (import "reactor" "stopListening" (func $stopListening (param i32) (result i32)))
  (import "factory" "config" (func $config (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $own (mut i32) (i32.const 0))
  (global $mark (mut i32) (i32.const 0))
  (global $built (mut i32) (i32.const 0))
  (global $restored (mut i32) (i32.const 0))
  (func $say (param $conn i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $n))
    (drop (call $write (local.get $conn) (i32.const 0) (i32.const 4))))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_1000))
  (func (export "startFactory") (result i32) (local $n i32)
    (local.set $n (call $config (i32.const 0x4000) (i32.const 256)))
    (if (i32.eq (i32.load8_u (i32.const 0x4000)) (i32.const 0x22))
      (then (global.set $own (call $listen (i32.const 0x4001) (i32.sub (local.get $n) (i32.const 2))))))
    (if (i32.eq (i32.load8_u (i32.const 0x4001)) (i32.const 0x78)) ;; x
      (then (global.set $own
        (call $stopListening (call $listen (i32.const 0x4002) (i32.sub (local.get $n) (i32.const 3)))))))
    (i32.const 0))
  (func (export "buildProtocol") (param $conn i32) (result i32)
    (if (i32.eq (global.get $mark) (i32.const 55))
      (then (global.set $built (call $stopListening (call $listener (local.get $conn))))))
    (i32.const 0))
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (local $c i32) (local $n i32)
    (local.set $c (i32.load8_u (local.get $ptr)))
    (local.set $ptr (i32.add (local.get $ptr) (i32.const 1)))
    (local.set $n (i32.load (local.get $ptr)))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) ;; l
      (then (call $say (local.get $conn) (call $listen (local.get $ptr) (i32.sub (local.get $len) (i32.const 1))))))
    (if (i32.eq (local.get $c) (i32.const 0x73)) ;; s
      (then (call $say (local.get $conn) (call $stopListening (local.get $n)))))
    (if (i32.eq (local.get $c) (i32.const 0x68)) ;; h
      (then
        (local.set $n (call $getHost (local.get $n) (i32.const 0x5000) (i32.const 128)))
        (if (i32.lt_s (local.get $n) (i32.const 0)) (then (call $say (local.get $conn) (local.get $n)) (return)))
        (drop (call $write (local.get $conn) (i32.const 0x5000) (local.get $n)))))
    (if (i32.eq (local.get $c) (i32.const 0x66)) ;; f
      (then (call $say (local.get $conn) (call $listener (local.get $conn)))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) ;; o
      (then (call $say (local.get $conn) (global.get $own))))
    (if (i32.eq (local.get $c) (i32.const 0x62)) ;; b
      (then (call $say (local.get $conn) (global.get $built))))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) ;; m
      (then (global.set $mark (local.get $n)) (call $say (local.get $conn) (local.get $n))))
    (if (i32.eq (local.get $c) (i32.const 0x67)) ;; g
      (then (call $say (local.get $conn) (global.get $mark))))
    (if (i32.eq (local.get $c) (i32.const 0x72)) ;; r
      (then (call $say (local.get $conn) (global.get $restored))))
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then unreachable))) ;; t
  (func (export "connectionLost") (param i32 i32))
  (func (export "saveState") (param $conn i32) (result i64)
    (i32.store (i32.const 0x6000) (global.get $mark))
    (if (i32.eqz (local.get $conn)) (then (return (i64.const 0x0000_6000_0000_0004))))
    (if (i32.and (i32.lt_s (call $state (local.get $conn)) (i32.const 0)) ;; a listener
          (i32.and (i32.ne (global.get $mark) (i32.const 77)) (i32.ne (global.get $mark) (i32.const 78))))
      (then (return (i64.const -1))))
    (if (i32.and (i32.ge_s (call $state (local.get $conn)) (i32.const 0)) (i32.eq (global.get $mark) (i32.const 99)))
      (then (return (i64.const -1))))
    (i64.const 0x0000_6000_0000_0004))
  (func (export "restoreState") (param $conn i32) (param $version i32) (param $ptr i32) (param $len i32) (result i32)
    (local $n i32)
    (local.set $n (i32.load (local.get $ptr)))
    (if (i32.eqz (local.get $conn)) (then (global.set $mark (local.get $n)) (return (i32.const 0))))
    (if (i32.lt_s (call $state (local.get $conn)) (i32.const 0))
      (then
        (if (i32.eq (local.get $n) (i32.const 78)) (then (return (i32.const 1))))
        (global.set $restored (i32.add (global.get $restored) (i32.const 1)))))
    (i32.const 0)))
