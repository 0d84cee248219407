;; Unpacks HW32 words into planar int16 codes, eight objects at a time. What a word means and which words are
;; faults is defined by unpackWords in hardware-words.ts; test/event/word-unpacker.test.ts holds the two together.
;;
;; An event's 19 words are taken as three groups of 8 that start at word 0, 8 and 11: the last overlaps the second,
;; so that no load or store leaves the event's row.
(module
  (import "unpacker" "memory" (memory 1))

  ;; words   address of int32 [events, 19]
  ;; codes   address of int16 [events, 57], written
  ;; faults  address of uint8 [events], written: 0 for a sound event, 1 for a faulty one
  ;; returns how many events are faulty; their codes are meaningless
  (func (export "unpack")
    (param $words i32) (param $events i32) (param $codes i32) (param $faults i32) (result i32)
    (local $faulty i32) (local $fault i32) (local $end i32)
    (local $group i32) ;; first word of the group
    (local $from i32) (local $to i32)
    (local $low v128) (local $high v128) ;; the group's words
    (local $pt v128) (local $eta v128) (local $phi v128) ;; its codes
    (local $bad v128) ;; lanes that are not zero where an object is invalid

    (local.set $end (i32.add (local.get $faults) (local.get $events)))
    (block $done
      (loop $event
        (br_if $done (i32.ge_u (local.get $faults) (local.get $end)))

        ;; MET has no eta: bits 12-21 of word 0
        (local.set $bad (i32x4.splat (i32.and (i32.load (local.get $words)) (i32.const 0x3ff000))))
        (local.set $group (i32.const 0))
        (loop $groups
          (local.set $from (i32.add (local.get $words) (i32.shl (local.get $group) (i32.const 2))))
          (local.set $to (i32.add (local.get $codes) (i32.shl (local.get $group) (i32.const 1))))
          (local.set $low (v128.load (local.get $from)))
          (local.set $high (v128.load offset=16 (local.get $from)))

          ;; pT: bits 0-11; the codes fit, so narrowing never saturates
          (local.set $pt
            (i16x8.narrow_i32x4_s
              (v128.and (local.get $low) (v128.const i32x4 0xfff 0xfff 0xfff 0xfff))
              (v128.and (local.get $high) (v128.const i32x4 0xfff 0xfff 0xfff 0xfff))))
          ;; eta: bits 12-21, two's complement
          (local.set $eta
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (i32x4.shl (local.get $low) (i32.const 10)) (i32.const 22))
              (i32x4.shr_s (i32x4.shl (local.get $high) (i32.const 10)) (i32.const 22))))
          ;; phi: bits 22-31, two's complement
          (local.set $phi
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $low) (i32.const 22))
              (i32x4.shr_s (local.get $high) (i32.const 22))))

          ;; the planes are 19 codes apart
          (v128.store (local.get $to) (local.get $pt))
          (v128.store offset=38 (local.get $to) (local.get $eta))
          (v128.store offset=76 (local.get $to) (local.get $phi))

          ;; absent (pT 0) but not all zero
          (local.set $bad
            (v128.or (local.get $bad)
              (v128.and
                (i16x8.eq (local.get $pt) (v128.const i16x8 0 0 0 0 0 0 0 0))
                (v128.or (local.get $eta) (local.get $phi)))))
          ;; eta -512
          (local.set $bad
            (v128.or (local.get $bad)
              (i16x8.eq (local.get $eta) (v128.const i16x8 -512 -512 -512 -512 -512 -512 -512 -512))))
          ;; phi outside -288..287: phi + 288 is beyond 575 as an unsigned number
          (local.set $bad
            (v128.or (local.get $bad)
              (i16x8.gt_u
                (i16x8.add (local.get $phi) (v128.const i16x8 288 288 288 288 288 288 288 288))
                (v128.const i16x8 575 575 575 575 575 575 575 575))))

          ;; 0, 8, 11, and then the event is complete
          (if (i32.lt_u (local.get $group) (i32.const 11))
            (then
              (local.set $group
                (select (i32.const 8) (i32.const 11) (i32.eqz (local.get $group))))
              (br $groups))))

        (local.set $fault (v128.any_true (local.get $bad)))
        (i32.store8 (local.get $faults) (local.get $fault))
        (local.set $faulty (i32.add (local.get $faulty) (local.get $fault)))

        (local.set $words (i32.add (local.get $words) (i32.const 76)))
        (local.set $codes (i32.add (local.get $codes) (i32.const 114)))
        (local.set $faults (i32.add (local.get $faults) (i32.const 1)))
        (br $event)))
    (local.get $faulty)))
