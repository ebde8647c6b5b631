import Foundation

/// Numbers of 8 and 4 bits as tables of what their codes stand for.
enum SmallFloat {
  /// 4 bits of exponent and 3 of fraction, biased by 7; 0x7F and 0xFF are NaN, nothing is infinite.
  ///
  /// Source: OCP 8-bit Floating Point Specification, revision 1.0, E4M3.
  static let e4M3: [Float] = (0..<256).map { code in
    let (exponent, fraction) = (code >> 3 & 15, Float(code & 7))
    if code & 127 == 127 { return .nan }
    let magnitude =
      exponent == 0 ? fraction * 0x1p-9 : Float(scalbn(Double(1 + fraction / 8), exponent - 7))
    return code < 128 ? magnitude : -magnitude
  }

  /// 8 bits of exponent, biased by 127; 255 is NaN.
  ///
  /// Source: OCP Microscaling Formats, version 1.0, E8M0.
  static let e8M0: [Float] = (0..<256).map { $0 == 255 ? .nan : Float(scalbn(1, $0 - 127)) }

  /// 2 bits of exponent and 1 of fraction.
  ///
  /// Source: OCP Microscaling Formats, version 1.0, E2M1.
  static let e2M1: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]

  /// Whole numbers from -128 to 127.
  static let int8: [Float] = (0..<256).map { Float(Int8(bitPattern: UInt8($0))) }
}
