import CKernels

/// How a float is stored.
package enum FloatFormat: CaseIterable, Sendable {
  /// IEEE 754 single precision.
  case f32
  /// IEEE 754 half precision.
  case f16
  /// The upper half of a single.
  case bf16

  /// The size of a value in bytes.
  package var byteWidth: Int { self == .f32 ? 4 : 2 }

  /// The greatest finite number.
  package var greatestFinite: Float {
    switch self {
    case .f32: .greatestFiniteMagnitude
    case .f16: 65504
    case .bf16: 0x1.FEp127
    }
  }

  /// The least normal number.
  package var leastNormal: Float {
    switch self {
    case .f32, .bf16: .leastNormalMagnitude
    case .f16: 0x1p-14
    }
  }
}

/// Widens stored floats to singles, exactly.
///
/// Half-precision NaNs become quiet and keep their payload.
///
/// - Parameters:
///   - bytes: Little-endian values at any address.
///   - format: The format of the bytes.
///   - values: As many values as `bytes` holds.
///   - set: The instructions to use.
package func widen(
  _ bytes: RawSpan, from format: FloatFormat, into values: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let count = values.count
  precondition(bytes.byteCount == count * format.byteWidth, "\(bytes.byteCount) bytes for \(count) values")
  unsafe writing(&values) { values in
    unsafe reading(bytes) { bytes in
      switch format {
      case .f32:
        if let bytes = unsafe bytes {
          unsafe UnsafeMutableRawPointer(values)?.copyMemory(from: bytes, byteCount: count * 4)
        }
      case .f16: unsafe ck_widen_f16(set.rawValue, bytes, count, values)
      case .bf16: unsafe ck_widen_bf16(set.rawValue, bytes, count, values)
      }
    }
  }
}

/// Narrows singles to a stored format, rounding to nearest, ties to even.
///
/// Overflow gives an infinity; NaNs become quiet and keep the upper bits of their payload.
///
/// - Parameters:
///   - values: The singles.
///   - format: The format to store them in.
///   - bytes: `values.count * format.byteWidth` bytes, written little-endian.
///   - set: The instructions to use.
package func narrow(
  _ values: Span<Float>, to format: FloatFormat, into bytes: inout MutableSpan<UInt8>,
  on set: InstructionSet = .best
) {
  let count = values.count
  precondition(bytes.count == count * format.byteWidth, "\(bytes.count) bytes for \(count) values")
  unsafe writing(&bytes) { bytes in
    unsafe reading(values) { values in
      switch format {
      case .f32:
        if let values = unsafe values {
          unsafe UnsafeMutableRawPointer(bytes)?.copyMemory(from: values, byteCount: count * 4)
        }
      case .f16: unsafe ck_narrow_f16(set.rawValue, values, count, bytes)
      case .bf16: unsafe ck_narrow_bf16(set.rawValue, values, count, bytes)
      }
    }
  }
}

/// `widen` as a plain loop, which defines it.
package func widenReference(_ bytes: RawSpan, from format: FloatFormat, into values: inout MutableSpan<Float>)
{
  for i in values.indices {
    switch format {
    case .f32: values[i] = load(Float.self, from: bytes, at: 4 * i)
    case .f16: values[i] = widenedHalf(load(UInt16.self, from: bytes, at: 2 * i))
    case .bf16: values[i] = Float(bitPattern: UInt32(load(UInt16.self, from: bytes, at: 2 * i)) << 16)
    }
  }
}

/// `narrow` as a plain loop, which defines it.
package func narrowReference(
  _ values: Span<Float>, to format: FloatFormat, into bytes: inout MutableSpan<UInt8>
) {
  for i in values.indices {
    let bits =
      switch format {
      case .f32: values[i].bitPattern
      case .f16: UInt32(narrowedHalf(values[i]))
      case .bf16: UInt32(narrowedBrain(values[i]))
      }
    for j in 0..<format.byteWidth {
      bytes[i * format.byteWidth + j] = UInt8(truncatingIfNeeded: bits >> (8 * j))
    }
  }
}

private func widenedHalf(_ half: UInt16) -> Float {
  let sign = UInt32(half & 0x8000) << 16
  let fraction = UInt32(half & 0x3ff)
  switch half >> 10 & 0x1f {
  case 0:
    let value = Float(fraction) * 0x1p-24
    return sign == 0 ? value : -value
  case 31: return Float(bitPattern: sign | 0x7f80_0000 | (fraction == 0 ? 0 : 0x40_0000 | fraction << 13))
  case let exponent: return Float(bitPattern: sign | (UInt32(exponent) + 112) << 23 | fraction << 13)
  }
}

private func narrowedHalf(_ value: Float) -> UInt16 {
  let sign = UInt16(value.bitPattern >> 16 & 0x8000)
  let size = value.magnitude
  if value.isNaN { return sign | 0x7e00 | UInt16(value.bitPattern >> 13 & 0x3ff) }
  if size >= 65520 { return sign | 0x7c00 }
  if size < 0x1p-14 { return sign | UInt16((size * 0x1p24).rounded(.toNearestOrEven)) }
  // A carry out of the fraction correctly goes into the exponent.
  let fraction = (size.significand * 1024).rounded(.toNearestOrEven)
  return sign | UInt16(Int(size.exponent + 14) << 10 + Int(fraction))
}

/// A value rounded to bf16, to nearest even.
func roundedToBF16(_ value: Float) -> Float { Float(bitPattern: UInt32(narrowedBrain(value)) << 16) }

private func narrowedBrain(_ value: Float) -> UInt16 {
  let upper = UInt16(value.bitPattern >> 16)
  if value.isNaN { return upper | 0x40 }
  let rest = value.bitPattern & 0xffff
  let roundsUp = rest > 0x8000 || (rest == 0x8000 && upper & 1 == 1)
  return roundsUp ? upper + 1 : upper
}
