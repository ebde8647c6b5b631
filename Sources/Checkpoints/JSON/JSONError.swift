/// Why a text is not JSON, and the byte where it was noticed.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  /// The byte, from the start of the text.
  public let byteOffset: Int
  /// The reason as a phrase.
  public let reason: String

  /// The reason with its byte.
  public var description: String { "byte \(byteOffset): \(reason)" }
}
