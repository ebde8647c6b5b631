/// A set of ASCII characters.
struct ASCIISet: Sendable, Equatable {
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  static let all = ASCIISet(low: .max, high: .max)

  var complement: ASCIISet { ASCIISet(low: ~low, high: ~high) }

  /// Whether the set contains a byte below 0x80.
  func contains(_ byte: UInt8) -> Bool {
    (byte < 64 ? low : high) >> UInt64(byte & 63) & 1 == 1
  }

  mutating func insert(_ byte: UInt8) {
    if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte & 63) }
  }

  func union(_ other: ASCIISet) -> ASCIISet { ASCIISet(low: low | other.low, high: high | other.high) }

  init() {}

  private init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }
}

/// A set of scalars that a class, an escape or a literal of a regular expression matches.
struct ScalarSet: Sendable {
  /// The members below U+0080.
  private(set) var ascii = ASCIISet()
  private var kinds: ScalarKinds = []
  private var ranges: [ClosedRange<UInt32>] = []
  private var isComplement = false

  /// Whether the set contains a scalar from U+0080 on.
  func containsBeyondASCII(_ value: UInt32) -> Bool {
    let isListed =
      (!kinds.isEmpty && kinds.contains(ScalarKinds.kind(of: value)))
      || ranges.contains { $0.contains(value) }
    return isListed != isComplement
  }

  init() {}

  /// One scalar.
  init(_ scalar: Unicode.Scalar) { insert(scalar...scalar) }

  /// `\s`.
  static let whiteSpace: ScalarSet = {
    var set = ScalarSet()
    for byte: UInt8 in [9, 10, 11, 12, 13, 32] { set.ascii.insert(byte) }
    set.kinds = .whiteSpace
    return set
  }()

  /// The scalars of some kinds.
  init(_ kinds: ScalarKinds) {
    for byte: UInt8 in 0..<0x80 where kinds.contains(ScalarKinds.kind(of: UInt32(byte))) {
      ascii.insert(byte)
    }
    self.kinds = kinds
  }

  /// The set of all other scalars.
  var complement: ScalarSet {
    var set = self
    set.ascii = ascii.complement
    set.isComplement.toggle()
    return set
  }

  /// Adds a range of scalars to a set that is not a complement.
  mutating func insert(_ range: ClosedRange<Unicode.Scalar>) {
    let values = range.lowerBound.value...range.upperBound.value
    for value in values.clamped(to: 0...0x7F) where values.contains(value) { ascii.insert(UInt8(value)) }
    if values.upperBound > 0x7F { ranges.append(values) }
  }

  /// Adds a set made of kinds only, or its complement.
  mutating func insert(_ other: ScalarSet) {
    precondition(other.ranges.isEmpty && !isComplement)
    ascii = ascii.union(other.ascii)
    kinds.formUnion(
      other.isComplement ? ScalarKinds(rawValue: ~other.kinds.rawValue) : other.kinds)
  }

  /// Adds the scalars that fold to the same lower case as an ASCII member.
  mutating func insertCaseVariants() {
    for (lower, upper) in zip(UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"))
    where ascii.contains(lower) || ascii.contains(upper) {
      ascii.insert(lower)
      ascii.insert(upper)
      if lower == UInt8(ascii: "s") { ranges.append(0x17F...0x17F) }  // ſ, the long s
      if lower == UInt8(ascii: "k") { ranges.append(0x212A...0x212A) }  // the kelvin sign
    }
  }
}
