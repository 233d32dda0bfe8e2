;; Sums of products, as matrices: blocks of rows times blocks of columns, four rows by two vectors at a time, which is what the 16 registers
;; of x64 hold. Assembled into product-kernels.ts by scripts/build-kernels.mjs; `product-task.ts` lays out the memory and says what is called.
;;
;; Addresses and strides are bytes, counts elements. A strip is 4 rows, [depth][4]; a panel is two vectors of columns, [depth][4] of
;; float64 or [depth][8] of float32. Sums are float64 in memory, [rows][columns], and are added to.
(module
  (import "js" "memory" (memory 1))

  ;; Zeros.
  (func (export "clear") (param $at i32) (param $bytes i32)
    (memory.fill (local.get $at) (i32.const 0) (local.get $bytes)))

  ;; Lays $rows rows of $depth elements out as strips; behind the last row it is repeated.
  (func (export "strips64") (param $target i32) (param $source i32) (param $rows i32) (param $stride i32) (param $depth i32)
    (local $row i32) (local $last i32) (local $end i32) (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (local.set $last (i32.sub (local.get $rows) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $a (call $rowAt (local.get $source) (local.get $stride) (local.get $row) (local.get $last)))
        (local.set $b (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 1)) (local.get $last)))
        (local.set $c (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 2)) (local.get $last)))
        (local.set $d (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 3)) (local.get $last)))
        (local.set $end (i32.add (local.get $a) (i32.shl (local.get $depth) (i32.const 3))))
        (loop $each
          (f64.store (local.get $target) (f64.load (local.get $a)))
          (f64.store offset=8 (local.get $target) (f64.load (local.get $b)))
          (f64.store offset=16 (local.get $target) (f64.load (local.get $c)))
          (f64.store offset=24 (local.get $target) (f64.load (local.get $d)))
          (local.set $a (i32.add (local.get $a) (i32.const 8)))
          (local.set $b (i32.add (local.get $b) (i32.const 8)))
          (local.set $c (i32.add (local.get $c) (i32.const 8)))
          (local.set $d (i32.add (local.get $d) (i32.const 8)))
          (local.set $target (i32.add (local.get $target) (i32.const 32)))
          (br_if $each (i32.lt_u (local.get $a) (local.get $end))))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $next))))

  (func (export "strips32") (param $target i32) (param $source i32) (param $rows i32) (param $stride i32) (param $depth i32)
    (local $row i32) (local $last i32) (local $end i32) (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (local.set $last (i32.sub (local.get $rows) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $a (call $rowAt (local.get $source) (local.get $stride) (local.get $row) (local.get $last)))
        (local.set $b (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 1)) (local.get $last)))
        (local.set $c (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 2)) (local.get $last)))
        (local.set $d (call $rowAt (local.get $source) (local.get $stride) (i32.add (local.get $row) (i32.const 3)) (local.get $last)))
        (local.set $end (i32.add (local.get $a) (i32.shl (local.get $depth) (i32.const 2))))
        (loop $each
          (f32.store (local.get $target) (f32.load (local.get $a)))
          (f32.store offset=4 (local.get $target) (f32.load (local.get $b)))
          (f32.store offset=8 (local.get $target) (f32.load (local.get $c)))
          (f32.store offset=12 (local.get $target) (f32.load (local.get $d)))
          (local.set $a (i32.add (local.get $a) (i32.const 4)))
          (local.set $b (i32.add (local.get $b) (i32.const 4)))
          (local.set $c (i32.add (local.get $c) (i32.const 4)))
          (local.set $d (i32.add (local.get $d) (i32.const 4)))
          (local.set $target (i32.add (local.get $target) (i32.const 16)))
          (br_if $each (i32.lt_u (local.get $a) (local.get $end))))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $next))))

  (func $rowAt (param $source i32) (param $stride i32) (param $row i32) (param $last i32) (result i32)
    (i32.add (local.get $source)
      (i32.mul (local.get $stride) (select (local.get $row) (local.get $last) (i32.lt_u (local.get $row) (local.get $last))))))

  ;; Lays out as panels what a kernel sees at $columns places: element k of its depth is place k mod $window of its window in channel
  ;; k div $window, beginning with place $tap of the channel at $plane. The table has, for each place of the window, the offset inside
  ;; a channel for each column, negative in the padding, where zero stands. It is read up to 28 bytes beyond, and $plane 8 before.
  (func (export "panels64")
    (param $target i32) (param $plane i32) (param $planeBytes i32) (param $table i32) (param $tableStride i32)
    (param $window i32) (param $tap i32) (param $depth i32) (param $columns i32)
    (local $column i32) (local $k i32) (local $t i32) (local $base i32) (local $offsets v128) (local $from i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $column) (local.get $columns)))
        (local.set $k (local.get $depth))
        (local.set $t (local.get $tap))
        (local.set $base (local.get $plane))
        (local.set $from (i32.add (i32.add (local.get $table) (i32.mul (local.get $t) (local.get $tableStride))) (i32.shl (local.get $column) (i32.const 2))))
        (loop $each
          (local.set $offsets (v128.load (local.get $from)))
          (if (i32.and
                (i32x4.all_true (i32x4.eq (local.get $offsets)
                  (i32x4.add (i32x4.splat (i32x4.extract_lane 0 (local.get $offsets))) (v128.const i32x4 0 8 16 24))))
                (i32.ge_s (i32x4.extract_lane 0 (local.get $offsets)) (i32.const 0)))
            (then
              (v128.store (local.get $target) (v128.load (i32.add (local.get $base) (i32x4.extract_lane 0 (local.get $offsets)))))
              (v128.store offset=16 (local.get $target) (v128.load offset=16 (i32.add (local.get $base) (i32x4.extract_lane 0 (local.get $offsets))))))
            (else
              (f64.store (local.get $target) (call $pick64 (local.get $base) (i32x4.extract_lane 0 (local.get $offsets))))
              (f64.store offset=8 (local.get $target) (call $pick64 (local.get $base) (i32x4.extract_lane 1 (local.get $offsets))))
              (f64.store offset=16 (local.get $target) (call $pick64 (local.get $base) (i32x4.extract_lane 2 (local.get $offsets))))
              (f64.store offset=24 (local.get $target) (call $pick64 (local.get $base) (i32x4.extract_lane 3 (local.get $offsets))))))
          (local.set $target (i32.add (local.get $target) (i32.const 32)))
          (local.set $t (i32.add (local.get $t) (i32.const 1)))
          (local.set $from (i32.add (local.get $from) (local.get $tableStride)))
          (if (i32.eq (local.get $t) (local.get $window))
            (then
              (local.set $t (i32.const 0))
              (local.set $from (i32.add (local.get $table) (i32.shl (local.get $column) (i32.const 2))))
              (local.set $base (i32.add (local.get $base) (local.get $planeBytes)))))
          (br_if $each (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $column (i32.add (local.get $column) (i32.const 4)))
        (br $next))))

  (func $pick64 (param $base i32) (param $offset i32) (result f64)
    (select (f64.const 0) (f64.load (i32.add (local.get $base) (local.get $offset))) (i32.lt_s (local.get $offset) (i32.const 0))))

  (func (export "panels32")
    (param $target i32) (param $plane i32) (param $planeBytes i32) (param $table i32) (param $tableStride i32)
    (param $window i32) (param $tap i32) (param $depth i32) (param $columns i32)
    (local $column i32) (local $k i32) (local $t i32) (local $base i32) (local $from i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $column) (local.get $columns)))
        (local.set $k (local.get $depth))
        (local.set $t (local.get $tap))
        (local.set $base (local.get $plane))
        (local.set $from (i32.add (i32.add (local.get $table) (i32.mul (local.get $t) (local.get $tableStride))) (i32.shl (local.get $column) (i32.const 2))))
        (loop $each
          (call $four32 (local.get $target) (local.get $base) (v128.load (local.get $from)))
          (call $four32 (i32.add (local.get $target) (i32.const 16)) (local.get $base) (v128.load offset=16 (local.get $from)))
          (local.set $target (i32.add (local.get $target) (i32.const 32)))
          (local.set $t (i32.add (local.get $t) (i32.const 1)))
          (local.set $from (i32.add (local.get $from) (local.get $tableStride)))
          (if (i32.eq (local.get $t) (local.get $window))
            (then
              (local.set $t (i32.const 0))
              (local.set $from (i32.add (local.get $table) (i32.shl (local.get $column) (i32.const 2))))
              (local.set $base (i32.add (local.get $base) (local.get $planeBytes)))))
          (br_if $each (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $column (i32.add (local.get $column) (i32.const 8)))
        (br $next))))

  (func $four32 (param $target i32) (param $base i32) (param $offsets v128)
    (if (i32.and
          (i32x4.all_true (i32x4.eq (local.get $offsets)
            (i32x4.add (i32x4.splat (i32x4.extract_lane 0 (local.get $offsets))) (v128.const i32x4 0 4 8 12))))
          (i32.ge_s (i32x4.extract_lane 0 (local.get $offsets)) (i32.const 0)))
      (then (v128.store (local.get $target) (v128.load (i32.add (local.get $base) (i32x4.extract_lane 0 (local.get $offsets))))))
      (else
        (f32.store (local.get $target) (call $pick32 (local.get $base) (i32x4.extract_lane 0 (local.get $offsets))))
        (f32.store offset=4 (local.get $target) (call $pick32 (local.get $base) (i32x4.extract_lane 1 (local.get $offsets))))
        (f32.store offset=8 (local.get $target) (call $pick32 (local.get $base) (i32x4.extract_lane 2 (local.get $offsets))))
        (f32.store offset=12 (local.get $target) (call $pick32 (local.get $base) (i32x4.extract_lane 3 (local.get $offsets)))))))

  (func $pick32 (param $base i32) (param $offset i32) (result f32)
    (select (f32.const 0) (f32.load (i32.add (local.get $base) (local.get $offset))) (i32.lt_s (local.get $offset) (i32.const 0))))

  ;; Adds to the sums the products of strips with panels, both of $depth.
  (func (export "products64")
    (param $strips i32) (param $stripCount i32) (param $panels i32) (param $panelCount i32) (param $depth i32) (param $sums i32) (param $stride i32)
    (local $size i32) (local $strip i32) (local $stripEnd i32) (local $a i32) (local $b i32) (local $y i32)
    (local $b0 v128) (local $b1 v128) (local $w v128)
    (local $s00 v128) (local $s01 v128) (local $s10 v128) (local $s11 v128) (local $s20 v128) (local $s21 v128) (local $s30 v128) (local $s31 v128)
    (local.set $size (i32.shl (local.get $depth) (i32.const 5)))
    (local.set $stripEnd (i32.add (local.get $strips) (i32.mul (local.get $stripCount) (local.get $size))))
    (block $done
      (loop $nextPanel
        (br_if $done (i32.eqz (local.get $panelCount)))
        (local.set $strip (local.get $strips))
        (local.set $y (local.get $sums))
        (loop $nextStrip
          (local.set $a (local.get $strip))
          (local.set $strip (i32.add (local.get $strip) (local.get $size)))
          (local.set $b (local.get $panels))
          (local.set $s00 (v128.const f64x2 0 0))
          (local.set $s01 (v128.const f64x2 0 0))
          (local.set $s10 (v128.const f64x2 0 0))
          (local.set $s11 (v128.const f64x2 0 0))
          (local.set $s20 (v128.const f64x2 0 0))
          (local.set $s21 (v128.const f64x2 0 0))
          (local.set $s30 (v128.const f64x2 0 0))
          (local.set $s31 (v128.const f64x2 0 0))
          (loop $each
            (local.set $b0 (v128.load (local.get $b)))
            (local.set $b1 (v128.load offset=16 (local.get $b)))
            (local.set $w (v128.load64_splat (local.get $a)))
            (local.set $s00 (f64x2.add (local.get $s00) (f64x2.mul (local.get $w) (local.get $b0))))
            (local.set $s01 (f64x2.add (local.get $s01) (f64x2.mul (local.get $w) (local.get $b1))))
            (local.set $w (v128.load64_splat offset=8 (local.get $a)))
            (local.set $s10 (f64x2.add (local.get $s10) (f64x2.mul (local.get $w) (local.get $b0))))
            (local.set $s11 (f64x2.add (local.get $s11) (f64x2.mul (local.get $w) (local.get $b1))))
            (local.set $w (v128.load64_splat offset=16 (local.get $a)))
            (local.set $s20 (f64x2.add (local.get $s20) (f64x2.mul (local.get $w) (local.get $b0))))
            (local.set $s21 (f64x2.add (local.get $s21) (f64x2.mul (local.get $w) (local.get $b1))))
            (local.set $w (v128.load64_splat offset=24 (local.get $a)))
            (local.set $s30 (f64x2.add (local.get $s30) (f64x2.mul (local.get $w) (local.get $b0))))
            (local.set $s31 (f64x2.add (local.get $s31) (f64x2.mul (local.get $w) (local.get $b1))))
            (local.set $a (i32.add (local.get $a) (i32.const 32)))
            (local.set $b (i32.add (local.get $b) (i32.const 32)))
            (br_if $each (i32.lt_u (local.get $a) (local.get $strip))))
          (local.set $y (call $add64 (local.get $y) (local.get $stride) (local.get $s00) (local.get $s01)))
          (local.set $y (call $add64 (local.get $y) (local.get $stride) (local.get $s10) (local.get $s11)))
          (local.set $y (call $add64 (local.get $y) (local.get $stride) (local.get $s20) (local.get $s21)))
          (local.set $y (call $add64 (local.get $y) (local.get $stride) (local.get $s30) (local.get $s31)))
          (br_if $nextStrip (i32.lt_u (local.get $strip) (local.get $stripEnd))))
        (local.set $panels (i32.add (local.get $panels) (local.get $size)))
        (local.set $sums (i32.add (local.get $sums) (i32.const 32)))
        (local.set $panelCount (i32.sub (local.get $panelCount) (i32.const 1)))
        (br $nextPanel))))

  ;; Adds four sums; gives the next row.
  (func $add64 (param $y i32) (param $stride i32) (param $left v128) (param $right v128) (result i32)
    (v128.store (local.get $y) (f64x2.add (v128.load (local.get $y)) (local.get $left)))
    (v128.store offset=16 (local.get $y) (f64x2.add (v128.load offset=16 (local.get $y)) (local.get $right)))
    (i32.add (local.get $y) (local.get $stride)))

  ;; The same of float32: products and sums of up to 64 of them in float32, then added up in float64.
  (func (export "products32")
    (param $strips i32) (param $stripCount i32) (param $panels i32) (param $panelCount i32) (param $depth i32) (param $sums i32) (param $stride i32)
    (local $size i32) (local $strip i32) (local $stripEnd i32) (local $a i32) (local $b i32) (local $end i32) (local $y i32) (local $row i32)
    (local $b0 v128) (local $b1 v128) (local $w v128)
    (local $s00 v128) (local $s01 v128) (local $s10 v128) (local $s11 v128) (local $s20 v128) (local $s21 v128) (local $s30 v128) (local $s31 v128)
    (local.set $size (i32.shl (local.get $depth) (i32.const 4)))
    (local.set $stripEnd (i32.add (local.get $strips) (i32.mul (local.get $stripCount) (local.get $size))))
    (block $done
      (loop $nextPanel
        (br_if $done (i32.eqz (local.get $panelCount)))
        (local.set $strip (local.get $strips))
        (local.set $y (local.get $sums))
        (loop $nextStrip
          (local.set $a (local.get $strip))
          (local.set $strip (i32.add (local.get $strip) (local.get $size)))
          (local.set $b (local.get $panels))
          (loop $chunk
            (local.set $end (i32.add (local.get $a) (i32.const 1024)))
            (local.set $end (select (local.get $end) (local.get $strip) (i32.lt_u (local.get $end) (local.get $strip))))
            (local.set $s00 (v128.const f32x4 0 0 0 0))
            (local.set $s01 (v128.const f32x4 0 0 0 0))
            (local.set $s10 (v128.const f32x4 0 0 0 0))
            (local.set $s11 (v128.const f32x4 0 0 0 0))
            (local.set $s20 (v128.const f32x4 0 0 0 0))
            (local.set $s21 (v128.const f32x4 0 0 0 0))
            (local.set $s30 (v128.const f32x4 0 0 0 0))
            (local.set $s31 (v128.const f32x4 0 0 0 0))
            (loop $each
              (local.set $b0 (v128.load (local.get $b)))
              (local.set $b1 (v128.load offset=16 (local.get $b)))
              (local.set $w (v128.load32_splat (local.get $a)))
              (local.set $s00 (f32x4.add (local.get $s00) (f32x4.mul (local.get $w) (local.get $b0))))
              (local.set $s01 (f32x4.add (local.get $s01) (f32x4.mul (local.get $w) (local.get $b1))))
              (local.set $w (v128.load32_splat offset=4 (local.get $a)))
              (local.set $s10 (f32x4.add (local.get $s10) (f32x4.mul (local.get $w) (local.get $b0))))
              (local.set $s11 (f32x4.add (local.get $s11) (f32x4.mul (local.get $w) (local.get $b1))))
              (local.set $w (v128.load32_splat offset=8 (local.get $a)))
              (local.set $s20 (f32x4.add (local.get $s20) (f32x4.mul (local.get $w) (local.get $b0))))
              (local.set $s21 (f32x4.add (local.get $s21) (f32x4.mul (local.get $w) (local.get $b1))))
              (local.set $w (v128.load32_splat offset=12 (local.get $a)))
              (local.set $s30 (f32x4.add (local.get $s30) (f32x4.mul (local.get $w) (local.get $b0))))
              (local.set $s31 (f32x4.add (local.get $s31) (f32x4.mul (local.get $w) (local.get $b1))))
              (local.set $a (i32.add (local.get $a) (i32.const 16)))
              (local.set $b (i32.add (local.get $b) (i32.const 32)))
              (br_if $each (i32.lt_u (local.get $a) (local.get $end))))
            (local.set $row (call $add32 (local.get $y) (local.get $stride) (local.get $s00) (local.get $s01)))
            (local.set $row (call $add32 (local.get $row) (local.get $stride) (local.get $s10) (local.get $s11)))
            (local.set $row (call $add32 (local.get $row) (local.get $stride) (local.get $s20) (local.get $s21)))
            (local.set $row (call $add32 (local.get $row) (local.get $stride) (local.get $s30) (local.get $s31)))
            (br_if $chunk (i32.lt_u (local.get $a) (local.get $strip))))
          (local.set $y (local.get $row))
          (br_if $nextStrip (i32.lt_u (local.get $strip) (local.get $stripEnd))))
        (local.set $panels (i32.add (local.get $panels) (i32.shl (local.get $size) (i32.const 1))))
        (local.set $sums (i32.add (local.get $sums) (i32.const 64)))
        (local.set $panelCount (i32.sub (local.get $panelCount) (i32.const 1)))
        (br $nextPanel))))

  ;; Adds eight sums of float32; gives the next row.
  (func $add32 (param $y i32) (param $stride i32) (param $left v128) (param $right v128) (result i32)
    (v128.store (local.get $y) (f64x2.add (v128.load (local.get $y)) (f64x2.promote_low_f32x4 (local.get $left))))
    (v128.store offset=16 (local.get $y) (f64x2.add (v128.load offset=16 (local.get $y)) (f64x2.promote_low_f32x4 (call $high (local.get $left)))))
    (v128.store offset=32 (local.get $y) (f64x2.add (v128.load offset=32 (local.get $y)) (f64x2.promote_low_f32x4 (local.get $right))))
    (v128.store offset=48 (local.get $y) (f64x2.add (v128.load offset=48 (local.get $y)) (f64x2.promote_low_f32x4 (call $high (local.get $right)))))
    (i32.add (local.get $y) (local.get $stride)))

  ;; The inner product of $count float32 with as many float64, in float64: four sums side by side, what is left over with the first of them.
  (func (export "dot") (param $a i32) (param $b i32) (param $count i32) (result f64)
    (local $end i32) (local $x v128) (local $y v128) (local $first f64)
    (local.set $end (i32.add (local.get $a) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $a) (local.get $end)))
        (local.set $x (f64x2.add (local.get $x) (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $a))) (v128.load (local.get $b)))))
        (local.set $y (f64x2.add (local.get $y) (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $a))) (v128.load offset=16 (local.get $b)))))
        (local.set $a (i32.add (local.get $a) (i32.const 16)))
        (local.set $b (i32.add (local.get $b) (i32.const 32)))
        (br $next)))
    (local.set $first (f64x2.extract_lane 0 (local.get $x)))
    (local.set $end (i32.add (local.get $end) (i32.shl (i32.and (local.get $count) (i32.const 3)) (i32.const 2))))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $a) (local.get $end)))
        (local.set $first (f64.add (local.get $first) (f64.mul (f64.promote_f32 (f32.load (local.get $a))) (f64.load (local.get $b)))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (i32.const 8)))
        (br $tail)))
    (f64.add (f64.add (local.get $first) (f64x2.extract_lane 1 (local.get $x))) (f64.add (f64x2.extract_lane 0 (local.get $y)) (f64x2.extract_lane 1 (local.get $y)))))

  (func $high (param $x v128) (result v128)
    (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x))))
