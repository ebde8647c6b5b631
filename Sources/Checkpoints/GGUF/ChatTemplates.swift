/// The chat templates of a checkpoint: in the files of a Hugging Face folder, and in the metadata of a GGUF
/// file.
package struct ChatTemplates: Sendable, Equatable {
  /// A template that is chosen by its name.
  package struct Named: Sendable, Equatable {
    /// The name.
    package let name: String
    /// The template.
    package let text: String
  }

  /// The file of the default template.
  package static let fileName = "chat_template.jinja"
  /// The folder of the named templates, each in `NAME.jinja`.
  private static let folderName = "additional_chat_templates/"
  private static let fileEnding = ".jinja"
  private static let defaultName = "default"
  private static let settingsKey = "chat_template"

  /// The default template.
  private let common: String?
  private let others: [Named]

  private init(_ templates: [Named]) {
    common = templates.first { $0.name == Self.defaultName }?.text
    others = templates.filter { $0.name != Self.defaultName }
  }

  /// Whether a file of a checkpoint holds a template.
  package static func isFile(_ name: String) -> Bool { templateName(ofFile: name) != nil }

  private static func templateName(ofFile name: String) -> String? {
    if name == fileName { return defaultName }
    guard name.hasPrefix(folderName), name.hasSuffix(fileEnding) else { return nil }
    let inner = String(name.dropFirst(folderName.count).dropLast(fileEnding.count))
    return FileSystem.isPlainName(inner) ? inner : nil
  }
}

/// Hugging Face's files.
extension ChatTemplates {
  /// Reads the templates of a folder like transformers: from their own files if there are any, otherwise from
  /// `tokenizer_config.json`.
  ///
  /// - Parameters:
  ///   - files: The files that hold templates, by their names in the checkpoint.
  ///   - settings: `tokenizer_config.json`.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` when the key `chat_template` is neither a text nor a list of names and
  ///   templates.
  package init(files: [(name: String, text: String)], settings: JSONValue, path: String) throws(FormatError) {
    let named = files.compactMap { file in
      Self.templateName(ofFile: file.name).map { Named(name: $0, text: file.text) }
    }
    self.init(named.isEmpty ? try Self.templates(of: settings, path) : named)
  }

  private static func templates(of settings: JSONValue, _ path: String) throws(FormatError) -> [Named] {
    guard let value = settings[settingsKey], !value.isNull else { return [] }
    if let text = value.string { return [Named(name: defaultName, text: text)] }
    var templates: [Named] = []
    for entry in value.array ?? [.null] {
      guard let name = entry["name"]?.string, !name.isEmpty, let text = entry["template"]?.string else {
        throw FormatError(
          path, at: "key '\(settingsKey)'", .malformed("is neither a text nor a list of names and templates"))
      }
      guard !templates.contains(where: { $0.name == name }) else {
        throw FormatError(path, at: "key '\(settingsKey)'", .malformed("template '\(name)' is there twice"))
      }
      templates.append(Named(name: name, text: text))
    }
    return templates
  }

  /// The files that hold the templates.
  var files: [(name: String, text: String)] {
    (common.map { [(Self.fileName, $0)] } ?? [])
      + others.map { (Self.folderName + $0.name + Self.fileEnding, $0.text) }
  }

  /// The key of `tokenizer_config.json`, or nil without a template.
  var setting: JSONValue.Member? {
    guard !others.isEmpty else { return common.map { JSONValue.Member(Self.settingsKey, .string($0)) } }
    let all = (common.map { [Named(name: Self.defaultName, text: $0)] } ?? []) + others
    return JSONValue.Member(
      Self.settingsKey,
      .array(
        all.map { template in
          .object([
            JSONValue.Member("name", .string(template.name)),
            JSONValue.Member("template", .string(template.text)),
          ])
        }))
  }
}

/// GGUF's keys: `tokenizer.chat_template`, for others `tokenizer.chat_template.NAME` and their list.
extension ChatTemplates {
  private static let key = "tokenizer.chat_template"
  private static let listKey = "tokenizer.chat_templates"

  /// Reads the metadata of a file.
  ///
  /// - Throws: `FormatError` with the key.
  init(_ keys: GGUFKeys) throws(FormatError) {
    var templates: [Named] = []
    if let text = try keys.string(Self.key) { templates.append(Named(name: Self.defaultName, text: text)) }
    for key in keys.metadata.keys where key.hasPrefix(Self.key + ".") {
      let name = String(key.dropFirst(Self.key.count + 1))
      guard name != Self.defaultName,
        Self.templateName(ofFile: Self.folderName + name + Self.fileEnding) == name
      else { throw keys.error(key, .malformed("'\(name)' is not a template name")) }
      if let text = try keys.string(key) { templates.append(Named(name: name, text: text)) }
    }
    for name in try keys.strings(Self.listKey) ?? [] where !templates.contains(where: { $0.name == name }) {
      throw keys.error(Self.listKey, .missing("key '\(Self.key).\(name)'"))
    }
    self.init(templates)
  }

  /// The metadata of a file with these templates.
  ///
  /// In names, characters other than ASCII letters and digits become `_`, as in llama.cpp's converter.
  ///
  /// - Parameter path: The path for errors.
  /// - Returns: The keys with their values, the default template first.
  /// - Throws: `FormatError.notExact` when two names become one.
  func members(path: String) throws(FormatError) -> [GGUFExportMember] {
    var members = common.map { [GGUFExportMember(Self.key, .string($0))] } ?? []
    var names: [String] = []
    for template in others {
      let name = String(
        String.UnicodeScalarView(
          template.name.unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)) ? scalar : "_"
          }))
      guard !names.contains(name), name != Self.defaultName else {
        throw FormatError(
          path, at: "chat template '\(template.name)'",
          .notExact("another template is also called '\(name)' in GGUF"))
      }
      names.append(name)
      members.append(GGUFExportMember("\(Self.key).\(name)", .string(template.text)))
    }
    guard !names.isEmpty else { return members }
    return members + [GGUFExportMember(Self.listKey, .array(elementType: .string, names.map { .string($0) }))]
  }
}
