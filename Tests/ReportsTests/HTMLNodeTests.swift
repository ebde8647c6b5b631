import Reports
import Testing

@Suite struct HTMLNodeTests {
  @Test func `text and attributes are escaped`() {
    let node = HTMLNode.element("p", [(name: "title", value: "\"<&")], [.text("</p><script>&\u{1}\u{202E}")])
    #expect(
      node.html == "<p title=\"&quot;&lt;&amp;\">&lt;/p&gt;&lt;script&gt;&amp;\u{FFFD}\u{FFFD}</p>")
  }
}
