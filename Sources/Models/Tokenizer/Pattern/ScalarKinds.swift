/// Kinds of Unicode scalars: the general categories, refined where `\s` and `Digits` need it.
///
/// The general categories are those of Unicode 16, as in the regular expressions of `tokenizers`; newer
/// scalars are unassigned (`Cn`). Two kinds divide a category further: U+0085, the only white space outside
/// ASCII that is not a separator, and the newer numbers, which `Digits` knows.
struct ScalarKinds: OptionSet {
  let rawValue: UInt32

  private static let names = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
    "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
  ]
  private static let nextLine = ScalarKinds(rawValue: 1 << 30)
  private static let laterNumber = ScalarKinds(rawValue: 1 << 31)
  private static let regexUnicodeVersion = 16

  /// The scalars outside ASCII that `\s` matches.
  static let whiteSpace = named("Z").union(nextLine)
  /// All scalars that are assigned in Unicode 16.
  static let assigned = ScalarKinds(rawValue: ~named("Cn").rawValue)
  /// The scalars that `Digits` splits off.
  static let digits = named("N").union(laterNumber)
  /// The combining marks.
  static let marks = named("M")
  /// The general categories of word characters outside ASCII; alphabetic scalars are word characters too.
  static let word = named("M").union(named("Nd")).union(named("Pc"))

  /// Creates the kinds of a general category (`Lu`) or of all categories that begin with a letter (`L`), or
  /// nil.
  init?(category name: String) {
    let kinds = Self.named(name)
    guard !name.isEmpty, !kinds.isEmpty else { return nil }
    self = kinds
  }

  init(rawValue: UInt32) { self.rawValue = rawValue }

  private static func named(_ name: String) -> ScalarKinds {
    var kinds: ScalarKinds = []
    for (i, candidate) in names.enumerated() where candidate.hasPrefix(name) {
      kinds.formUnion(ScalarKinds(rawValue: 1 << i))
    }
    if "Cc".hasPrefix(name) { kinds.formUnion(nextLine) }
    if "Cn".hasPrefix(name) { kinds.formUnion(laterNumber) }
    return kinds
  }

  /// Returns the one kind of a scalar.
  static func kind(of value: UInt32) -> ScalarKinds {
    ScalarKinds(rawValue: 1 << (value < 0x10000 ? UInt32(basicPlane[Int(value)]) : bit(of: value)))
  }

  /// The kinds of U+0000…U+FFFF, computed when the first scalar outside ASCII is met.
  private static let basicPlane: [UInt8] = (0..<0x10000).map { UInt8(bit(of: $0)) }

  private static func bit(of value: UInt32) -> UInt32 {
    guard let scalar = Unicode.Scalar(value) else { return unassigned }
    let category = bit(of: scalar.properties.generalCategory)
    guard value != 0x85 else { return 30 }
    guard let age = scalar.properties.age, age.major <= regexUnicodeVersion else {
      return (8...10).contains(category) ? 31 : unassigned
    }
    return category
  }

  private static let unassigned: UInt32 = 29

  private static func bit(of category: Unicode.GeneralCategory) -> UInt32 {
    switch category {
    case .uppercaseLetter: 0
    case .lowercaseLetter: 1
    case .titlecaseLetter: 2
    case .modifierLetter: 3
    case .otherLetter: 4
    case .nonspacingMark: 5
    case .spacingMark: 6
    case .enclosingMark: 7
    case .decimalNumber: 8
    case .letterNumber: 9
    case .otherNumber: 10
    case .connectorPunctuation: 11
    case .dashPunctuation: 12
    case .openPunctuation: 13
    case .closePunctuation: 14
    case .initialPunctuation: 15
    case .finalPunctuation: 16
    case .otherPunctuation: 17
    case .mathSymbol: 18
    case .currencySymbol: 19
    case .modifierSymbol: 20
    case .otherSymbol: 21
    case .spaceSeparator: 22
    case .lineSeparator: 23
    case .paragraphSeparator: 24
    case .control: 25
    case .format: 26
    case .surrogate: 27
    case .privateUse: 28
    case .unassigned: unassigned
    @unknown default: unassigned
    }
  }
}
