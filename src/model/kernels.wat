;; Inner loops that JavaScript runs too slowly. Assembled by scripts/build-kernels.mjs into kernels.ts.
(module
  (import "js" "memory" (memory 1))

  ;; Transposes 4-byte elements: row r, column c goes from $source + r * $sourceStep + 4 * c to $target + c * $targetStep + 4 * r.
  ;; Steps are in bytes; $sourceStep may be negative.
  (func (export "transpose")
    (param $target i32) (param $targetStep i32) (param $source i32) (param $sourceStep i32) (param $rows i32) (param $columns i32)
    (local $row i32) (local $column i32) (local $wholeRows i32) (local $wholeColumns i32) (local $read i32) (local $write i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $e v128) (local $f v128)
    (local.set $wholeRows (i32.and (local.get $rows) (i32.const -4)))
    (local.set $wholeColumns (i32.and (local.get $columns) (i32.const -4)))
    (block $blocksDone
      (br_if $blocksDone (i32.eqz (local.get $wholeColumns)))
      (loop $rowBlocks
        (br_if $blocksDone (i32.ge_u (local.get $row) (local.get $wholeRows)))
        (local.set $column (i32.const 0))
        (loop $columnBlocks
          (local.set $read (i32.add (i32.add (local.get $source) (i32.mul (local.get $row) (local.get $sourceStep))) (i32.shl (local.get $column) (i32.const 2))))
          (local.set $a (v128.load (local.get $read)))
          (local.set $b (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $c (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $d (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $write (i32.add (i32.add (local.get $target) (i32.mul (local.get $column) (local.get $targetStep))) (i32.shl (local.get $row) (i32.const 2))))
          ;; a0 b0 a1 b1 and c0 d0 c1 d1 make columns 0 and 1.
          (local.set $e (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b)))
          (local.set $f (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d)))
          (v128.store (local.get $write) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $e) (local.get $f)))
          (v128.store (local.tee $write (i32.add (local.get $write) (local.get $targetStep)))
            (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $e) (local.get $f)))
          ;; a2 b2 a3 b3 and c2 d2 c3 d3 make columns 2 and 3.
          (local.set $e (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b)))
          (local.set $f (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d)))
          (v128.store (local.tee $write (i32.add (local.get $write) (local.get $targetStep)))
            (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $e) (local.get $f)))
          (v128.store (i32.add (local.get $write) (local.get $targetStep))
            (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $e) (local.get $f)))
          (br_if $columnBlocks (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 4))) (local.get $wholeColumns))))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $rowBlocks)))
    ;; What is left of each row: all of it for the last rows, the last columns for the others.
    (local.set $row (i32.const 0))
    (block $done
      (loop $restRows
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $column (select (i32.const 0) (local.get $wholeColumns) (i32.ge_u (local.get $row) (local.get $wholeRows))))
        (block $rowDone
          (loop $restColumns
            (br_if $rowDone (i32.ge_u (local.get $column) (local.get $columns)))
            (i32.store
              (i32.add (i32.add (local.get $target) (i32.mul (local.get $column) (local.get $targetStep))) (i32.shl (local.get $row) (i32.const 2)))
              (i32.load (i32.add (i32.add (local.get $source) (i32.mul (local.get $row) (local.get $sourceStep))) (i32.shl (local.get $column) (i32.const 2)))))
            (local.set $column (i32.add (local.get $column) (i32.const 1)))
            (br $restColumns)))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $restRows))))

  ;; Rounds $count float32 (a multiple of 8) at $at to float16, in place: results fill the first half. To nearest, ties to even.
  ;; At $tally, 48 bytes, it leaves how many values overflowed, underflowed and were NaN, as three i32.
  (func (export "narrowToHalf") (param $at i32) (param $count i32) (param $tally i32)
    (local $end i32) (local $write i32) (local $first v128) (local $second v128) (local $magnitude v128) (local $magnitude2 v128)
    (v128.store (local.get $tally) (v128.const i32x4 0 0 0 0))
    (v128.store offset=16 (local.get $tally) (v128.const i32x4 0 0 0 0))
    (v128.store offset=32 (local.get $tally) (v128.const i32x4 0 0 0 0))
    (local.set $write (local.get $at))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (loop $next
        (local.set $first (v128.load (local.get $at)))
        (local.set $second (v128.load offset=16 (local.get $at)))
        (local.set $magnitude (v128.and (local.get $first) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        (local.set $magnitude2 (v128.and (local.get $second) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        ;; Eight values that are normal in both, nearly always: their distances to both ends of the range have no sign bit.
        (if (i32.eqz
              (i32x4.bitmask
                (v128.or
                  (v128.or
                    (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
                    (i32x4.sub (v128.const i32x4 0x477fe000 0x477fe000 0x477fe000 0x477fe000) (local.get $magnitude)))
                  (v128.or
                    (i32x4.sub (local.get $magnitude2) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
                    (i32x4.sub (v128.const i32x4 0x477fe000 0x477fe000 0x477fe000 0x477fe000) (local.get $magnitude2))))))
          (then
            (v128.store (local.get $write)
              (v128.or
                ;; As $normalHalf; a call for each would take as long as the work.
                (i16x8.narrow_i32x4_u
                  (i32x4.shr_u
                    (i32x4.add
                      (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
                      (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
                    (i32.const 13))
                  (i32x4.shr_u
                    (i32x4.add
                      (i32x4.sub (local.get $magnitude2) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
                      (v128.and (i32x4.shr_u (local.get $magnitude2) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
                    (i32.const 13)))
                ;; Words are so far from zero that narrowing saturates them: to 0x8000 where there is a sign, to 0x7fff where not.
                (v128.and
                  (i16x8.narrow_i32x4_s (local.get $first) (local.get $second))
                  (v128.const i16x8 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000)))))
          (else
            (v128.store64_lane 0 (local.get $write) (call $anyHalf (local.get $first) (local.get $tally)))
            (v128.store64_lane offset=8 0 (local.get $write) (call $anyHalf (local.get $second) (local.get $tally)))))
        (local.set $write (i32.add (local.get $write) (i32.const 16)))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end)))))
    (i32.store (local.get $tally) (call $sumLanes (v128.load (local.get $tally))))
    (i32.store offset=4 (local.get $tally) (call $sumLanes (v128.load offset=16 (local.get $tally))))
    (i32.store offset=8 (local.get $tally) (call $sumLanes (v128.load offset=32 (local.get $tally)))))

  ;; Four magnitudes that are normal in both: drops 13 bits, ties to even; a carry moves into the exponent as it should.
  (func $normalHalf (param $magnitude v128) (result v128)
    (i32x4.shr_u
      (i32x4.add
        (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
        (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
      (i32.const 13)))

  ;; Four values of any kind, to four halves in the lower 64 bits; adds what is lost to the lanes at $tally.
  (func $anyHalf (param $word v128) (param $tally i32) (result v128)
    (local $magnitude v128) (local $half v128)
    (local.set $magnitude (v128.and (local.get $word) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
    ;; Below 2^-14: added to 0.5, whose last bit is worth 2^-24, the sum is rounded to a count of half's smallest steps.
    (local.set $half
      (v128.bitselect
        (i32x4.sub
          (f32x4.add (local.get $magnitude) (v128.const f32x4 0.5 0.5 0.5 0.5))
          (v128.const i32x4 0x3f000000 0x3f000000 0x3f000000 0x3f000000))
        (call $normalHalf (local.get $magnitude))
        (i32x4.lt_u (local.get $magnitude) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))))
    ;; From 65520 on: infinity.
    (local.set $half (i32x4.min_u (local.get $half) (v128.const i32x4 0x7c00 0x7c00 0x7c00 0x7c00)))
    ;; NaN stays NaN: made quiet, with the upper bits of its payload.
    (local.set $half
      (v128.bitselect
        (v128.or
          (v128.const i32x4 0x7e00 0x7e00 0x7e00 0x7e00)
          (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 0x3ff 0x3ff 0x3ff 0x3ff)))
        (local.get $half)
        (i32x4.gt_u (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))
    ;; A comparison gives -1 where it holds, so counts are subtracted.
    (v128.store (local.get $tally)
      (i32x4.sub (v128.load (local.get $tally))
        (v128.and
          (i32x4.eq (local.get $half) (v128.const i32x4 0x7c00 0x7c00 0x7c00 0x7c00))
          (i32x4.ne (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000)))))
    (v128.store offset=16 (local.get $tally)
      (i32x4.sub (v128.load offset=16 (local.get $tally))
        (v128.and
          (i32x4.eq (local.get $half) (v128.const i32x4 0 0 0 0))
          (i32x4.ne (local.get $magnitude) (v128.const i32x4 0 0 0 0)))))
    (v128.store offset=32 (local.get $tally)
      (i32x4.sub (v128.load offset=32 (local.get $tally))
        (i32x4.gt_u (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))
    (local.set $half
      (v128.or (local.get $half) (v128.and (i32x4.shr_u (local.get $word) (i32.const 16)) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000))))
    (i16x8.narrow_i32x4_u (local.get $half) (local.get $half)))

  ;; Of $count float32 at $source: at $result the smallest and the largest of the finite ones, as float32 (infinite where there are
  ;; none), and how many are infinite or NaN, as i32.
  (func (export "range") (param $source i32) (param $count i32) (param $result i32)
    (local $end i32) (local $wholeEnd i32) (local $word v128) (local $min v128) (local $max v128) (local $odd v128) (local $isOdd v128)
    (local $value f32) (local $low f32) (local $high f32) (local $odds i32)
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $wholeEnd (i32.add (local.get $source) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (local.set $min (v128.const f32x4 inf inf inf inf))
    (local.set $max (v128.const f32x4 -inf -inf -inf -inf))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $wholeEnd)))
        (local.set $word (v128.load (local.get $source)))
        (local.set $isOdd
          (i32x4.ge_u
            (v128.and (local.get $word) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
            (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000)))
        (local.set $odd (i32x4.sub (local.get $odd) (local.get $isOdd)))
        ;; What is not finite becomes NaN, which is neither smaller nor larger: pmin and pmax keep their first operand.
        (local.set $word (v128.or (local.get $word) (local.get $isOdd)))
        (local.set $min (f32x4.pmin (local.get $min) (local.get $word)))
        (local.set $max (f32x4.pmax (local.get $max) (local.get $word)))
        (local.set $source (i32.add (local.get $source) (i32.const 16)))
        (br $next)))
    (local.set $low (call $smaller
      (call $smaller (f32x4.extract_lane 0 (local.get $min)) (f32x4.extract_lane 1 (local.get $min)))
      (call $smaller (f32x4.extract_lane 2 (local.get $min)) (f32x4.extract_lane 3 (local.get $min)))))
    (local.set $high (f32.neg (call $smaller
      (call $smaller (f32.neg (f32x4.extract_lane 0 (local.get $max))) (f32.neg (f32x4.extract_lane 1 (local.get $max))))
      (call $smaller (f32.neg (f32x4.extract_lane 2 (local.get $max))) (f32.neg (f32x4.extract_lane 3 (local.get $max)))))))
    (local.set $odds (call $sumLanes (local.get $odd)))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $source) (local.get $end)))
        (local.set $value (f32.load (local.get $source)))
        (local.set $source (i32.add (local.get $source) (i32.const 4)))
        (if (i32.ge_u (i32.and (i32.reinterpret_f32 (local.get $value)) (i32.const 0x7fffffff)) (i32.const 0x7f800000))
          (then
            (local.set $odds (i32.add (local.get $odds) (i32.const 1)))
            (br $tail)))
        (local.set $low (call $smaller (local.get $low) (local.get $value)))
        (local.set $high (f32.neg (call $smaller (f32.neg (local.get $high)) (f32.neg (local.get $value)))))
        (br $tail)))
    (f32.store (local.get $result) (local.get $low))
    (f32.store offset=4 (local.get $result) (local.get $high))
    (i32.store offset=8 (local.get $result) (local.get $odds)))

  (func $smaller (param $a f32) (param $b f32) (result f32)
    (select (local.get $b) (local.get $a) (f32.lt (local.get $b) (local.get $a))))

  ;; The largest magnitude of $count float32 at $source, as bits: NaN counts as larger than infinity, and that as larger than the rest.
  (func (export "largestMagnitude") (param $source i32) (param $count i32) (result i32)
    (local $end i32) (local $wholeEnd i32) (local $largest v128) (local $bits i32)
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $wholeEnd (i32.add (local.get $source) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $wholeEnd)))
        (local.set $largest
          (i32x4.max_u (local.get $largest)
            (v128.and (v128.load (local.get $source)) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
        (local.set $source (i32.add (local.get $source) (i32.const 16)))
        (br $next)))
    (local.set $bits (call $larger
      (call $larger (i32x4.extract_lane 0 (local.get $largest)) (i32x4.extract_lane 1 (local.get $largest)))
      (call $larger (i32x4.extract_lane 2 (local.get $largest)) (i32x4.extract_lane 3 (local.get $largest)))))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $source) (local.get $end)))
        (local.set $bits (call $larger (local.get $bits) (i32.and (i32.load (local.get $source)) (i32.const 0x7fffffff))))
        (local.set $source (i32.add (local.get $source) (i32.const 4)))
        (br $tail)))
    (local.get $bits))

  (func $larger (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.gt_u (local.get $a) (local.get $b))))

  ;; For each of $count places: the magnitude at $source is kept at $largest, as bits, where it is larger than what is there.
  (func (export "largestMagnitudes") (param $largest i32) (param $source i32) (param $count i32)
    (local $end i32) (local $wholeEnd i32)
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $wholeEnd (i32.add (local.get $source) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $wholeEnd)))
        (v128.store (local.get $largest)
          (i32x4.max_u (v128.load (local.get $largest))
            (v128.and (v128.load (local.get $source)) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
        (local.set $source (i32.add (local.get $source) (i32.const 16)))
        (local.set $largest (i32.add (local.get $largest) (i32.const 16)))
        (br $next)))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $source) (local.get $end)))
        (i32.store (local.get $largest)
          (call $larger (i32.load (local.get $largest)) (i32.and (i32.load (local.get $source)) (i32.const 0x7fffffff))))
        (local.set $source (i32.add (local.get $source) (i32.const 4)))
        (local.set $largest (i32.add (local.get $largest) (i32.const 4)))
        (br $tail))))

  ;; Writes $count float32 as round((value - $min) / $scale), ties to even, held within 0 and $limit: as uint8, or as uint16 where
  ;; $isWord. Works in float64 and in groups of 8: it reads and writes up to 7 elements more, whose content does not matter.
  (func (export "encodeAffine")
    (param $target i32) (param $isWord i32) (param $source i32) (param $count i32) (param $min f64) (param $scale f64) (param $limit f64)
    (local $end i32) (local $a v128) (local $b v128) (local $mins v128) (local $scales v128) (local $limits v128) (local $zero v128) (local $words v128)
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $mins (f64x2.splat (local.get $min)))
    (local.set $scales (f64x2.splat (local.get $scale)))
    (local.set $limits (f64x2.splat (local.get $limit)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $end)))
        (local.set $a (v128.load (local.get $source)))
        (local.set $b (v128.load offset=16 (local.get $source)))
        (local.set $words
          (i16x8.narrow_i32x4_u
            (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
              (i32x4.trunc_sat_f64x2_u_zero (f64x2.min (local.get $limits) (f64x2.max (local.get $zero) (f64x2.nearest
                (f64x2.div (f64x2.sub (f64x2.promote_low_f32x4 (local.get $a)) (local.get $mins)) (local.get $scales))))))
              (i32x4.trunc_sat_f64x2_u_zero (f64x2.min (local.get $limits) (f64x2.max (local.get $zero) (f64x2.nearest
                (f64x2.div (f64x2.sub (f64x2.promote_low_f32x4 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $a) (local.get $a))) (local.get $mins)) (local.get $scales)))))))
            (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
              (i32x4.trunc_sat_f64x2_u_zero (f64x2.min (local.get $limits) (f64x2.max (local.get $zero) (f64x2.nearest
                (f64x2.div (f64x2.sub (f64x2.promote_low_f32x4 (local.get $b)) (local.get $mins)) (local.get $scales))))))
              (i32x4.trunc_sat_f64x2_u_zero (f64x2.min (local.get $limits) (f64x2.max (local.get $zero) (f64x2.nearest
                (f64x2.div (f64x2.sub (f64x2.promote_low_f32x4 (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $b) (local.get $b))) (local.get $mins)) (local.get $scales)))))))))
        (local.set $source (i32.add (local.get $source) (i32.const 32)))
        (if (local.get $isWord)
          (then
            (v128.store (local.get $target) (local.get $words))
            (local.set $target (i32.add (local.get $target) (i32.const 16)))
            (br $next)))
        (v128.store64_lane 0 (local.get $target) (i8x16.narrow_i16x8_u (local.get $words) (local.get $words)))
        (local.set $target (i32.add (local.get $target) (i32.const 8)))
        (br $next))))

  ;; Writes $runs groups of $size float32 as bytes: round(value / scale) + zero, ties to even, held within $low and $high, which are codes of int8.
  ;; There is a scale, float32, for each group, and, where $zeros is not 0, a byte for the code of zero. NaN becomes zero. A group is worked on in
  ;; eights: where $size is no multiple of 8 there is one group, and up to 7 values more are read and written, whose content does not matter.
  ;;
  ;; The quotient is that of float64, though it is worked out in float32: rounding keeps order, and the ties k + 0.5 are float32, so both lie between
  ;; the same two ties, unless the one of float32 is a tie.
  (func (export "encodeRuns")
    (param $target i32) (param $source i32) (param $runs i32) (param $size i32) (param $scales i32) (param $zeros i32) (param $low i32) (param $high i32)
    (local $end i32) (local $lows v128) (local $highs v128) (local $zero v128) (local $scale v128)
    (local $a v128) (local $b v128) (local $x v128) (local $y v128)
    (local.set $lows (i16x8.splat (local.get $low)))
    (local.set $highs (i16x8.splat (local.get $high)))
    (block $done
      (loop $nextRun
        (br_if $done (i32.eqz (local.get $runs)))
        (local.set $runs (i32.sub (local.get $runs) (i32.const 1)))
        (local.set $end (i32.add (local.get $source) (i32.shl (local.get $size) (i32.const 2))))
        (local.set $scale (v128.load32_splat (local.get $scales)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
        (if (local.get $zeros) (then
          (local.set $zero (i16x8.splat (i32.load8_u (local.get $zeros))))
          (local.set $zeros (i32.add (local.get $zeros) (i32.const 1)))))
        (loop $next
          (local.set $a (f32x4.div (v128.load (local.get $source)) (local.get $scale)))
          (local.set $b (f32x4.div (v128.load offset=16 (local.get $source)) (local.get $scale)))
          (local.set $x (f32x4.nearest (local.get $a)))
          (local.set $y (f32x4.nearest (local.get $b)))
          (if (v128.any_true (v128.or
                (f32x4.eq (f32x4.abs (f32x4.sub (local.get $a) (local.get $x))) (v128.const f32x4 0.5 0.5 0.5 0.5))
                (f32x4.eq (f32x4.abs (f32x4.sub (local.get $b) (local.get $y))) (v128.const f32x4 0.5 0.5 0.5 0.5))))
            (then
              (local.set $x (call $nearestQuotients (v128.load (local.get $source)) (local.get $scale)))
              (local.set $y (call $nearestQuotients (v128.load offset=16 (local.get $source)) (local.get $scale)))))
          (local.set $x
            (i16x8.min_s (local.get $highs) (i16x8.max_s (local.get $lows) (i16x8.add_sat_s (local.get $zero)
              (i16x8.narrow_i32x4_s (i32x4.trunc_sat_f32x4_s (local.get $x)) (i32x4.trunc_sat_f32x4_s (local.get $y)))))))
          (v128.store64_lane 0 (local.get $target) (i8x16.narrow_i16x8_s (local.get $x) (local.get $x)))
          (local.set $target (i32.add (local.get $target) (i32.const 8)))
          (br_if $next (i32.lt_u (local.tee $source (i32.add (local.get $source) (i32.const 32))) (local.get $end))))
        (br $nextRun))))

  ;; The same with a scale, and a byte for zero, for each value.
  (func (export "encodeEach")
    (param $target i32) (param $source i32) (param $count i32) (param $scales i32) (param $zeros i32) (param $low i32) (param $high i32)
    (local $end i32) (local $lows v128) (local $highs v128) (local $zero v128)
    (local $a v128) (local $b v128) (local $x v128) (local $y v128)
    (local.set $lows (i16x8.splat (local.get $low)))
    (local.set $highs (i16x8.splat (local.get $high)))
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $end)))
        (local.set $a (f32x4.div (v128.load (local.get $source)) (v128.load (local.get $scales))))
        (local.set $b (f32x4.div (v128.load offset=16 (local.get $source)) (v128.load offset=16 (local.get $scales))))
        (local.set $x (f32x4.nearest (local.get $a)))
        (local.set $y (f32x4.nearest (local.get $b)))
        (if (v128.any_true (v128.or
              (f32x4.eq (f32x4.abs (f32x4.sub (local.get $a) (local.get $x))) (v128.const f32x4 0.5 0.5 0.5 0.5))
              (f32x4.eq (f32x4.abs (f32x4.sub (local.get $b) (local.get $y))) (v128.const f32x4 0.5 0.5 0.5 0.5))))
          (then
            (local.set $x (call $nearestQuotients (v128.load (local.get $source)) (v128.load (local.get $scales))))
            (local.set $y (call $nearestQuotients (v128.load offset=16 (local.get $source)) (v128.load offset=16 (local.get $scales))))))
        (if (local.get $zeros) (then
          (local.set $zero (v128.load8x8_u (local.get $zeros)))
          (local.set $zeros (i32.add (local.get $zeros) (i32.const 8)))))
        (local.set $x
          (i16x8.min_s (local.get $highs) (i16x8.max_s (local.get $lows) (i16x8.add_sat_s (local.get $zero)
            (i16x8.narrow_i32x4_s (i32x4.trunc_sat_f32x4_s (local.get $x)) (i32x4.trunc_sat_f32x4_s (local.get $y)))))))
        (v128.store64_lane 0 (local.get $target) (i8x16.narrow_i16x8_s (local.get $x) (local.get $x)))
        (local.set $source (i32.add (local.get $source) (i32.const 32)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 32)))
        (local.set $target (i32.add (local.get $target) (i32.const 8)))
        (br $next))))

  ;; Four quotients, worked out and rounded in float64; as float32, which is exact below 2^24.
  (func $nearestQuotients (param $values v128) (param $scales v128) (result v128)
    (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
      (f32x4.demote_f64x2_zero (f64x2.nearest
        (f64x2.div (f64x2.promote_low_f32x4 (local.get $values)) (f64x2.promote_low_f32x4 (local.get $scales)))))
      (f32x4.demote_f64x2_zero (f64x2.nearest
        (f64x2.div (f64x2.promote_low_f32x4 (call $upperHalf (local.get $values))) (f64x2.promote_low_f32x4 (call $upperHalf (local.get $scales))))))))

  (func $upperHalf (param $lanes v128) (result v128)
    (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $lanes) (local.get $lanes)))

  ;; Adds the squares of $count float32 to $sum, one after the other, in float64. Leaves the sum, float64, at $result, and the smallest and largest
  ;; value, float32, behind it: infinite where there is none, anything where the sum is not finite.
  (func (export "spread") (param $source i32) (param $count i32) (param $sum f64) (param $result i32)
    (local $end i32) (local $wholeEnd i32) (local $value v128) (local $least v128) (local $most v128) (local $squares v128) (local $one f32) (local $min f32) (local $max f32)
    (local.set $end (i32.add (local.get $source) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $wholeEnd (i32.add (local.get $source) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (local.set $least (v128.const f32x4 inf inf inf inf))
    (local.set $most (v128.const f32x4 -inf -inf -inf -inf))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $source) (local.get $wholeEnd)))
        (local.set $value (v128.load (local.get $source)))
        (local.set $least (f32x4.pmin (local.get $least) (local.get $value)))
        (local.set $most (f32x4.pmax (local.get $most) (local.get $value)))
        (local.set $squares (f64x2.promote_low_f32x4 (local.get $value)))
        (local.set $squares (f64x2.mul (local.get $squares) (local.get $squares)))
        (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 0 (local.get $squares))))
        (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 1 (local.get $squares))))
        (local.set $squares (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $value) (local.get $value))))
        (local.set $squares (f64x2.mul (local.get $squares) (local.get $squares)))
        (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 0 (local.get $squares))))
        (local.set $sum (f64.add (local.get $sum) (f64x2.extract_lane 1 (local.get $squares))))
        (local.set $source (i32.add (local.get $source) (i32.const 16)))
        (br $next)))
    (local.set $min (f32.min
      (f32.min (f32x4.extract_lane 0 (local.get $least)) (f32x4.extract_lane 1 (local.get $least)))
      (f32.min (f32x4.extract_lane 2 (local.get $least)) (f32x4.extract_lane 3 (local.get $least)))))
    (local.set $max (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $most)) (f32x4.extract_lane 1 (local.get $most)))
      (f32.max (f32x4.extract_lane 2 (local.get $most)) (f32x4.extract_lane 3 (local.get $most)))))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $source) (local.get $end)))
        (local.set $one (f32.load (local.get $source)))
        (local.set $min (f32.min (local.get $min) (local.get $one)))
        (local.set $max (f32.max (local.get $max) (local.get $one)))
        (local.set $sum (f64.add (local.get $sum) (f64.mul (f64.promote_f32 (local.get $one)) (f64.promote_f32 (local.get $one)))))
        (local.set $source (i32.add (local.get $source) (i32.const 4)))
        (br $tail)))
    (f64.store (local.get $result) (local.get $sum))
    (f32.store offset=8 (local.get $result) (local.get $min))
    (f32.store offset=12 (local.get $result) (local.get $max)))

  ;; Puts the lower halves of $count bytes (a multiple of 32) at $at two to a byte, the first in the lower half, in place.
  (func (export "packHalves") (param $at i32) (param $count i32)
    (local $end i32) (local $write i32) (local $a v128) (local $b v128)
    (local.set $write (local.get $at))
    (local.set $end (i32.add (local.get $at) (local.get $count)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $a (v128.load (local.get $at)))
        (local.set $b (v128.load offset=16 (local.get $at)))
        (v128.store (local.get $write)
          (i8x16.narrow_i16x8_u
            (v128.or
              (v128.and (local.get $a) (v128.const i16x8 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f))
              (v128.and (i16x8.shr_u (local.get $a) (i32.const 4)) (v128.const i16x8 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0)))
            (v128.or
              (v128.and (local.get $b) (v128.const i16x8 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f 0x0f))
              (v128.and (i16x8.shr_u (local.get $b) (i32.const 4)) (v128.const i16x8 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0 0xf0)))))
        (local.set $at (i32.add (local.get $at) (i32.const 32)))
        (local.set $write (i32.add (local.get $write) (i32.const 16)))
        (br $next))))

  ;; Chooses how $groups groups of $size float32 at $source are put into codes from $low to $high: of $tries pairs of float64 at $trials, a factor
  ;; and a divisor of the group's span, those whose scale loses least. $step is from one value of a group to its next: 4 where groups lie one after
  ;; the other, and are of a multiple of four values; else they lie beside each other. Writes a scale for each to $scales, which is not finite where
  ;; a value is not, and, where $zeros is not 0, a byte for the code of zero there; then the span goes from the smallest value to the largest, else it
  ;; is the largest magnitude. Zero is a code in both, and a group of zeros has a scale of 1. Four groups are in the lanes of a vector at a time, in
  ;; $size + 3 vectors at $lanes, so that up to three more are read and written.
  (func (export "blockScales")
    (param $scales i32) (param $zeros i32) (param $source i32) (param $groups i32) (param $size i32) (param $step i32) (param $lanes i32)
    (param $trials i32) (param $tries i32) (param $low f32) (param $high f32)
    (local $end i32) (local $at i32) (local $to i32) (local $apart i32) (local $trial i32) (local $lastTrial i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $value v128)
    (local $least v128) (local $most v128) (local $largest v128) (local $span v128) (local $upperSpan v128)
    (local $lift v128) (local $factor v128) (local $divisor v128) (local $scale v128) (local $first v128) (local $inverse v128) (local $zero v128)
    (local $lows v128) (local $highs v128) (local $lost v128) (local $lostToo v128) (local $loss v128) (local $leastLoss v128)
    (local $isBetter v128) (local $best v128) (local $bestZero v128)
    (local.set $lastTrial (i32.add (local.get $trials) (i32.shl (local.get $tries) (i32.const 4))))
    (local.set $apart (i32.shl (local.get $size) (i32.const 2)))
    ;; A multiple of four vectors; zeros change nothing.
    (local.set $end (i32.add (local.get $lanes) (i32.shl (i32.and (i32.add (local.get $size) (i32.const 3)) (i32.const -4)) (i32.const 4))))
    (local.set $at (i32.add (local.get $lanes) (i32.shl (local.get $size) (i32.const 4))))
    (v128.store (local.get $at) (v128.const i32x4 0 0 0 0))
    (v128.store offset=16 (local.get $at) (v128.const i32x4 0 0 0 0))
    (v128.store offset=32 (local.get $at) (v128.const i32x4 0 0 0 0))
    (block $done
      (loop $nextGroups
        (br_if $done (i32.le_s (local.get $groups) (i32.const 0)))
        (local.set $at (local.get $source))
        (local.set $to (local.get $lanes))
        (if (i32.eq (local.get $step) (i32.const 4))
          (then
            (loop $turn
              (local.set $a (v128.load (local.get $at)))
              (local.set $b (v128.load (i32.add (local.get $at) (local.get $apart))))
              (local.set $c (v128.load (i32.add (local.get $at) (i32.shl (local.get $apart) (i32.const 1)))))
              (local.set $d (v128.load (i32.add (local.get $at) (i32.mul (local.get $apart) (i32.const 3)))))
              (local.set $value (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b)))
              (local.set $a (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b)))
              (local.set $b (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d)))
              (local.set $c (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d)))
              (v128.store (local.get $to) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $value) (local.get $b)))
              (v128.store offset=16 (local.get $to) (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $value) (local.get $b)))
              (v128.store offset=32 (local.get $to) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c)))
              (v128.store offset=48 (local.get $to) (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c)))
              (local.set $to (i32.add (local.get $to) (i32.const 64)))
              (br_if $turn (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (i32.add (local.get $source) (local.get $apart))))))
          (else
            (loop $take
              (v128.store (local.get $to) (v128.load (local.get $at)))
              (local.set $at (i32.add (local.get $at) (local.get $step)))
              (br_if $take (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 16)))
                (i32.add (local.get $lanes) (i32.shl (local.get $size) (i32.const 4))))))))
        (local.set $least (v128.const f32x4 0 0 0 0))
        (local.set $most (v128.const f32x4 0 0 0 0))
        (local.set $largest (v128.const i32x4 0 0 0 0))
        (local.set $at (local.get $lanes))
        (loop $measure
          (local.set $value (v128.load (local.get $at)))
          (local.set $least (f32x4.pmin (local.get $least) (local.get $value)))
          (local.set $most (f32x4.pmax (local.get $most) (local.get $value)))
          ;; Magnitudes as bits, of which those of NaN are the largest.
          (local.set $largest (i32x4.max_u (local.get $largest)
            (v128.and (local.get $value) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))))
          (br_if $measure (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
        (if (local.get $zeros)
          (then
            (local.set $span (f64x2.sub (f64x2.promote_low_f32x4 (local.get $most)) (f64x2.promote_low_f32x4 (local.get $least))))
            (local.set $upperSpan (f64x2.sub
              (f64x2.promote_low_f32x4 (call $upperHalf (local.get $most))) (f64x2.promote_low_f32x4 (call $upperHalf (local.get $least))))))
          (else
            (local.set $span (f64x2.promote_low_f32x4 (local.get $largest)))
            (local.set $upperSpan (f64x2.promote_low_f32x4 (call $upperHalf (local.get $largest))))))
        ;; Values so small that a step of theirs has no inverse are lifted by 2^100, which is exact.
        (local.set $lift (v128.const f32x4 1 1 1 1))
        (local.set $value (i32x4.lt_s (local.get $largest) (v128.const f32x4 0x1p-20 0x1p-20 0x1p-20 0x1p-20)))
        (if (v128.any_true (local.get $value)) (then
          (local.set $lift (v128.bitselect (v128.const f32x4 0x1p100 0x1p100 0x1p100 0x1p100) (local.get $lift) (local.get $value)))
          (local.set $at (local.get $lanes))
          (loop $raise
            (v128.store (local.get $at) (f32x4.mul (v128.load (local.get $at)) (local.get $lift)))
            (br_if $raise (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))))
        (local.set $trial (local.get $trials))
        (loop $try
          (local.set $factor (v128.load64_splat (local.get $trial)))
          (local.set $divisor (v128.load64_splat offset=8 (local.get $trial)))
          (local.set $scale (call $narrowed
            (f64x2.div (f64x2.mul (local.get $span) (local.get $factor)) (local.get $divisor))
            (f64x2.div (f64x2.mul (local.get $upperSpan) (local.get $factor)) (local.get $divisor))))
          (if (local.get $zeros) (then
            (local.set $zero (f32x4.pmin (f32x4.splat (local.get $high)) (call $narrowed
              (call $zeroCodes (local.get $least) (local.get $factor) (local.get $scale))
              (call $zeroCodes (call $upperHalf (local.get $least)) (local.get $factor) (call $upperHalf (local.get $scale))))))))
          (local.set $lows (f32x4.sub (f32x4.splat (local.get $low)) (local.get $zero)))
          (local.set $highs (f32x4.sub (f32x4.splat (local.get $high)) (local.get $zero)))
          (local.set $inverse (f32x4.div (v128.const f32x4 1 1 1 1) (f32x4.mul (local.get $scale) (local.get $lift))))
          (local.set $lost (v128.const f32x4 0 0 0 0))
          (local.set $lostToo (v128.const f32x4 0 0 0 0))
          (local.set $at (local.get $lanes))
          ;; In steps, so that no square is too small for a float32.
          (loop $lose
            (local.set $value (f32x4.mul (v128.load (local.get $at)) (local.get $inverse)))
            (local.set $value (f32x4.sub (local.get $value)
              (f32x4.pmin (local.get $highs) (f32x4.pmax (local.get $lows) (f32x4.nearest (local.get $value))))))
            (local.set $lost (f32x4.add (local.get $lost) (f32x4.mul (local.get $value) (local.get $value))))
            (local.set $value (f32x4.mul (v128.load offset=16 (local.get $at)) (local.get $inverse)))
            (local.set $value (f32x4.sub (local.get $value)
              (f32x4.pmin (local.get $highs) (f32x4.pmax (local.get $lows) (f32x4.nearest (local.get $value))))))
            (local.set $lostToo (f32x4.add (local.get $lostToo) (f32x4.mul (local.get $value) (local.get $value))))
            (local.set $value (f32x4.mul (v128.load offset=32 (local.get $at)) (local.get $inverse)))
            (local.set $value (f32x4.sub (local.get $value)
              (f32x4.pmin (local.get $highs) (f32x4.pmax (local.get $lows) (f32x4.nearest (local.get $value))))))
            (local.set $lost (f32x4.add (local.get $lost) (f32x4.mul (local.get $value) (local.get $value))))
            (local.set $value (f32x4.mul (v128.load offset=48 (local.get $at)) (local.get $inverse)))
            (local.set $value (f32x4.sub (local.get $value)
              (f32x4.pmin (local.get $highs) (f32x4.pmax (local.get $lows) (f32x4.nearest (local.get $value))))))
            (local.set $lostToo (f32x4.add (local.get $lostToo) (f32x4.mul (local.get $value) (local.get $value))))
            (br_if $lose (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (local.get $end))))
          (local.set $loss (f32x4.add (local.get $lost) (local.get $lostToo)))
          (if (i32.eq (local.get $trial) (local.get $trials))
            (then
              (local.set $first (local.get $scale))
              (local.set $best (local.get $scale))
              (local.set $bestZero (local.get $zero))
              (local.set $leastLoss (local.get $loss)))
            (else
              (local.set $value (f32x4.div (local.get $scale) (local.get $first)))
              (local.set $loss (f32x4.mul (local.get $loss) (f32x4.mul (local.get $value) (local.get $value))))
              (local.set $isBetter (f32x4.lt (local.get $loss) (local.get $leastLoss)))
              (local.set $leastLoss (v128.bitselect (local.get $loss) (local.get $leastLoss) (local.get $isBetter)))
              (local.set $best (v128.bitselect (local.get $scale) (local.get $best) (local.get $isBetter)))
              (local.set $bestZero (v128.bitselect (local.get $zero) (local.get $bestZero) (local.get $isBetter)))))
          (br_if $try (i32.lt_u (local.tee $trial (i32.add (local.get $trial) (i32.const 16))) (local.get $lastTrial))))
        ;; Where the step of the first trial is nothing, all values are zeros, or as good as that.
        (local.set $isBetter (f32x4.gt (local.get $first) (v128.const f32x4 0 0 0 0)))
        (local.set $best (v128.bitselect (local.get $best) (v128.const f32x4 1 1 1 1) (local.get $isBetter)))
        (local.set $bestZero (v128.and (local.get $bestZero) (local.get $isBetter)))
        (v128.store (local.get $scales) (v128.or (local.get $best)
          (i32x4.gt_s (local.get $largest) (v128.const i32x4 0x7f7fffff 0x7f7fffff 0x7f7fffff 0x7f7fffff))))
        (local.set $scales (i32.add (local.get $scales) (i32.const 16)))
        (if (local.get $zeros) (then
          (local.set $value (i32x4.trunc_sat_f32x4_u (local.get $bestZero)))
          (local.set $value (i16x8.narrow_i32x4_u (local.get $value) (local.get $value)))
          (v128.store32_lane 0 (local.get $zeros) (i8x16.narrow_i16x8_u (local.get $value) (local.get $value)))
          (local.set $zeros (i32.add (local.get $zeros) (i32.const 4)))))
        (local.set $source (i32.add (local.get $source)
          (select (i32.shl (local.get $apart) (i32.const 2)) (i32.const 16) (i32.eq (local.get $step) (i32.const 4)))))
        (local.set $groups (i32.sub (local.get $groups) (i32.const 4)))
        (br $nextGroups))))

  ;; The codes for zero of the two lower groups, before the last code holds them.
  (func $zeroCodes (param $least v128) (param $factor v128) (param $scale v128) (result v128)
    (f64x2.floor (f64x2.add (v128.const f64x2 0.5 0.5)
      (f64x2.div
        (f64x2.mul (f64x2.neg (f64x2.promote_low_f32x4 (local.get $least))) (local.get $factor))
        (f64x2.promote_low_f32x4 (local.get $scale))))))

  (func $narrowed (param $lower v128) (param $upper v128) (result v128)
    (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (f32x4.demote_f64x2_zero (local.get $lower)) (f32x4.demote_f64x2_zero (local.get $upper))))

  (func $sumLanes (param $lanes v128) (result i32)
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $lanes)) (i32x4.extract_lane 1 (local.get $lanes)))
      (i32.add (i32x4.extract_lane 2 (local.get $lanes)) (i32x4.extract_lane 3 (local.get $lanes))))))
