import Checkpoints
package import Passes

/// A comparison as the XML that CI servers read: a test case for each limit.
package struct JUnitReport {
  private let verification: Verification
  private let name: String

  /// Takes a comparison.
  ///
  /// - Parameters:
  ///   - verification: The comparison.
  ///   - reference: The path of the reference.
  ///   - candidate: The path of the candidate.
  package init(_ verification: Verification, reference: String, candidate: String) {
    self.verification = verification
    name = "\(candidate) against \(reference)"
  }

  /// The document.
  package var xml: String {
    let checks = verification.checks
    let counts = [
      (name: "tests", value: "\(checks.count)"),
      (name: "failures", value: "\(checks.count { !$0.passed })"), (name: "errors", value: "0"),
    ]
    let cases = checks.map { check in
      HTMLNode.element(
        "testcase", [(name: "classname", value: "rilq.verify"), (name: "name", value: check.name)],
        check.passed ? [] : [Self.failure(check)])
    }
    let suite = HTMLNode.element(
      "testsuite", [(name: "name", value: name)] + counts,
      cases + [.tag("system-out", [:], [.text(verification.json.prettyText)])])
    let root = HTMLNode.element("testsuites", [(name: "name", value: "rilq verify")] + counts, [suite])
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\(root.html)\n"
  }

  private static func failure(_ check: Verification.Check) -> HTMLNode {
    .tag(
      "failure",
      ["type": "limit", "message": "\(check.name) is \(check.value), the limit is \(check.limit)"])
  }
}
