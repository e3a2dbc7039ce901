;; Does what the first byte of a datagram says; any other comes back. What happens to its
;; sockets it logs: start, refused, stop and the reason's digit. An answer is a number of 4
;; bytes. With any configuration it declines to move sockets' state, which is the number of
;; datagrams that it has seen.
(module
  (import "datagram" "send" (func $send (param i32 i32 i32) (result i32)))
  (import "datagram" "open" (func $open (param i32 i32) (result i32)))
  (import "datagram" "join" (func $join (param i32 i32 i32) (result i32)))
  (import "datagram" "leave" (func $leave (param i32 i32 i32) (result i32)))
  (import "datagram" "setOption" (func $setOption (param i32 i32 i32) (result i32)))
  (import "transport" "loseConnection" (func $lose (param i32) (result i32)))
  (import "transport" "abortConnection" (func $abort (param i32) (result i32)))
  (import "transport" "pauseProducing" (func $pause (param i32) (result i32)))
  (import "transport" "resumeProducing" (func $resume (param i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "transport" "getHost" (func $getHost (param i32 i32 i32) (result i32)))
  (import "transport" "getPeer" (func $getPeer (param i32 i32 i32) (result i32)))
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "factory" "config" (func $config (param i32 i32) (result i32)))
  (import "log" "emit" (func $emit (param i32 i32 i32)  (result i32)))
  (memory (export "memory") 3)
  (global $seen (mut i32) (i32.const 0))
  (global $opened (mut i32) (i32.const 0)) ;; the socket of "o"
  (global $asker (mut i32) (i32.const 0)) ;; the socket whose peer asked for it
  (data (i32.const 16) "start")
  (data (i32.const 32) "refused")
  (data (i32.const 48) "stop ?")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0001_0004_0001_0000)) ;; 64 KiB at 65540
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param i32 i32 i32))
  (func (export "connectionLost") (param i32 i32))
  (func (export "startProtocol") (param $sock i32)
    (drop (call $emit (i32.const 2) (i32.const 16) (i32.const 5))))
  (func (export "connectionRefused") (param $sock i32)
    (drop (call $emit (i32.const 2) (i32.const 32) (i32.const 7))))
  (func (export "stopProtocol") (param $sock i32) (param $reason i32)
    (i32.store8 (i32.const 53) (i32.add (i32.const 48) (local.get $reason)))
    (drop (call $emit (i32.const 2) (i32.const 48) (i32.const 6))))
  ;; The record at 1024 is one for the peer that asked last.
  (func $answer (param $sock i32) (param $number i32)
    (i32.store (i32.const 1024) (i32.const 4))
    (i32.store (i32.const 1056) (local.get $number))
    (drop (call $send (local.get $sock) (i32.const 1024) (i32.const 1))))
  ;; A send whose record at 4096 is for the same peer, but wrong.
  (func $wrong (param $how i32) (param $sock i32) (result i32)
    (memory.copy (i32.const 4096) (i32.const 1024) (i32.const 32))
    (i32.store (i32.const 4096) (i32.const 8))
    (if (i32.eq (local.get $how) (i32.const 0x66)) ;; f: a family that there is not
      (then (i32.store8 (i32.const 4102) (i32.const 9))))
    (if (i32.eq (local.get $how) (i32.const 0x36)) ;; 6: the other family
      (then (i32.store8 (i32.const 4102) (i32.const 6))))
    (if (i32.eq (local.get $how) (i32.const 0x6e)) ;; n: more than the limit
      (then (return (call $send (local.get $sock) (i32.const 4096) (i32.const 1025)))))
    (if (i32.eq (local.get $how) (i32.const 0x75)) ;; u: unaligned
      (then (return (call $send (local.get $sock) (i32.const 4100) (i32.const 1)))))
    (if (i32.eq (local.get $how) (i32.const 0x70)) ;; p: past the memory
      (then (i32.store (i32.const 4096) (i32.const 0x30000))))
    (if (i32.eq (local.get $how) (i32.const 0x30)) ;; 0: for the peer that there is not
      (then (i32.store8 (i32.const 4102) (i32.const 0))))
    (call $send (local.get $sock) (i32.const 4096) (i32.const 1)))
  ;; Sends 8 bytes to the address and the port at $text.
  (func $to (param $sock i32) (param $text i32) (result i32)
    (memory.copy (i32.const 4096) (i32.const 1024) (i32.const 32))
    (i32.store (i32.const 4096) (i32.const 8))
    (i32.store (i32.const 4104) (i32.load (local.get $text)))
    (i32.store16 (i32.const 4100) (i32.load16_u offset=4 (local.get $text)))
    (call $send (local.get $sock) (i32.const 4096) (i32.const 1)))
  ;; Sends the payload of a record through the opened socket.
  (func $through (param $ptr i32) (result i32)
    (i32.store8 offset=6 (local.get $ptr) (i32.const 0))
    (call $send (global.get $opened) (local.get $ptr) (i32.const 1)))
  (func $do (param $sock i32) (param $ptr i32) (result i32) (local $text i32) (local $len i32) (local $c i32)
    (local.set $c (i32.load8_u offset=32 (local.get $ptr)))
    (local.set $text (i32.add (local.get $ptr) (i32.const 33)))
    (local.set $len (i32.sub (i32.load (local.get $ptr)) (i32.const 1)))
    (if (i32.eq (local.get $c) (i32.const 0x73)) (then (return (global.get $seen)))) ;; s
    (if (i32.eq (local.get $c) (i32.const 0x68)) (then (return (local.get $sock)))) ;; h
    (if (i32.eq (local.get $c) (i32.const 0x62)) (then (return (call $state (local.get $sock))))) ;; b
    (if (i32.eq (local.get $c) (i32.const 0x74)) (then (unreachable))) ;; t
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then (return (call $lose (local.get $sock))))) ;; l
    (if (i32.eq (local.get $c) (i32.const 0x61)) (then (return (call $abort (local.get $sock))))) ;; a
    (if (i32.eq (local.get $c) (i32.const 0x7a)) (then (return (call $pause (local.get $sock))))) ;; z
    (if (i32.eq (local.get $c) (i32.const 0x77)) ;; w
      (then (return (call $write (local.get $sock) (i32.const 16) (i32.const 5)))))
    (if (i32.eq (local.get $c) (i32.const 0x67)) ;; g
      (then (return (call $getHost (local.get $sock) (i32.const 8192) (i32.const 64)))))
    (if (i32.eq (local.get $c) (i32.const 0x47)) ;; G
      (then (return (call $getPeer (local.get $sock) (i32.const 8192) (i32.const 64)))))
    (if (i32.eq (local.get $c) (i32.const 0x78)) ;; x
      (then (return (call $wrong (i32.load8_u (local.get $text)) (local.get $sock)))))
    (if (i32.eq (local.get $c) (i32.const 0x6a)) ;; j
      (then (return (call $join (local.get $sock) (local.get $text) (local.get $len)))))
    (if (i32.eq (local.get $c) (i32.const 0x76)) ;; v
      (then (return (call $leave (local.get $sock) (local.get $text) (local.get $len)))))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) ;; m, a digit and another
      (then (return (call $setOption (local.get $sock)
        (i32.sub (i32.load8_u (local.get $text)) (i32.const 48))
        (i32.sub (i32.load8_u offset=1 (local.get $text)) (i32.const 48))))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) ;; o
      (then
        (global.set $asker (local.get $sock))
        (memory.copy (i32.const 2048) (i32.const 1024) (i32.const 32))
        (global.set $opened (call $open (local.get $text) (local.get $len)))
        (return (global.get $opened))))
    (if (i32.eq (local.get $c) (i32.const 0x53)) ;; S
      (then (return (call $to (local.get $sock) (local.get $text)))))
    (if (i32.eq (local.get $c) (i32.const 0x54)) ;; T
      (then (return (call $through (local.get $ptr)))))
    (i32.const 0x7fffffff))
  ;; What comes to the opened socket goes to who asked for it.
  (func $forward (param $ptr i32)
    (memory.copy (i32.add (local.get $ptr) (i32.const 4)) (i32.const 2052) (i32.const 28))
    (drop (call $send (global.get $asker) (local.get $ptr) (i32.const 1))))
  (func (export "datagramsReceived") (param $sock i32) (param $ptr i32) (param $n i32) (local $c i32)
    (global.set $seen (i32.add (global.get $seen) (local.get $n)))
    (if (i32.eq (local.get $sock) (global.get $opened))
      (then (call $forward (local.get $ptr)) (return)))
    (local.set $c (i32.load8_u offset=32 (local.get $ptr)))
    (if (i32.and (i32.eq (local.get $n) (i32.const 1)) (i32.ne (i32.load (local.get $ptr)) (i32.const 0)))
      (then
        (memory.copy (i32.const 1024) (local.get $ptr) (i32.const 32))
        (local.set $c (call $do (local.get $sock) (local.get $ptr)))
        (if (i32.ne (local.get $c) (i32.const 0x7fffffff))
          (then (call $answer (local.get $sock) (local.get $c)) (return)))))
    (drop (call $send (local.get $sock) (local.get $ptr) (local.get $n))))
  (func (export "saveState") (param $conn i32) (result i64)
    (if (i32.or (i32.eqz (local.get $conn)) (i32.gt_s (call $config (i32.const 0) (i32.const 0)) (i32.const 2)))
      (then (return (i64.const -1))))
    (i32.store (i32.const 512) (global.get $seen))
    (i64.const 0x0000_0200_0000_0004))
  (func (export "restoreState") (param $conn i32) (param i32) (param $ptr i32) (param i32) (result i32)
    (global.set $seen (i32.load (local.get $ptr)))
    (i32.const 0)))
