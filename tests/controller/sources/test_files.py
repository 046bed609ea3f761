"""Reading files: every kind of bad input with its exact place and remedy, and the difference between two readings."""

import os
from pathlib import Path

import pytest

from controller.sources.files import FileSource
from controller.sources.problems import Place
from tests.controller.sources.texts import documents, namespace, route


def problems(folder: Path, **files: str) -> list[str]:
    """What is said of these files, with paths below the folder."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [str(problem).replace(f"{folder}/", "") for problem in FileSource([folder]).read().problems]


HEAD = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\n"
BAD = {
    "YAML": (
        "a: 1\nb: [\n",
        "f.yaml:3: the YAML cannot be parsed: while parsing a flow node did not find expected node content."
        " Correct the YAML at or just before this line.",
    ),
    "key twice": (
        HEAD + "spec: {}\nspec: {}\n",
        "f.yaml:6: the key 'spec' is given twice. Remove one of the two, or merge their values.",
    ),
    "no object": ("- a\n", "f.yaml:1: the document is not an object. Write apiVersion, kind and metadata."),
    "no kind": (
        "apiVersion: v1\nmetadata: {name: a}\n",
        "f.yaml:1: kind: the field is missing or not text. Add it, for example `kind: HTTPRoute`.",
    ),
    "unknown kind": (
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
        "f.yaml:3: Deployment default/a: kind: the kind Deployment of apps/v1 is not known. Kinds that are read: GatewayClass, Gateway,"
        " ListenerSet, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute, ReferenceGrant, BackendTLSPolicy, XBackendTrafficPolicy,"
        " ListenerPolicy, BackendPolicy, GatewayParameters, AuthorizationPolicy, RequestAuthentication, PeerAuthentication, ServiceEntry,"
        " XMesh, Service, EndpointSlice, Secret, ConfigMap, Namespace, Pod. Move other objects to files that are not given.",
    ),
    "unknown version": (
        HEAD.replace("/v1", "/v1alpha2") + "spec: {}\n",
        "f.yaml:1: HTTPRoute default/a: apiVersion: HTTPRoute is not read in version gateway.networking.k8s.io/v1alpha2."
        " Write gateway.networking.k8s.io/v1.",
    ),
    "kind of another group": (
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
        "f.yaml:2: Service default/a: kind: the kind Service of serving.knative.dev/v1 is not known."
        " Write v1 if that Service is meant, otherwise move the object to a file that is not given.",
    ),
    "unknown field": (
        HEAD + "spec:\n  rules:\n  - matchs: []\n",
        "f.yaml:7: HTTPRoute default/a: spec.rules[0].matchs: the field is not known here. Did you mean matches?",
    ),
    "missing field": (
        HEAD + "spec:\n  rules:\n  - backendRefs:\n    - port: 80\n",
        "f.yaml:8: HTTPRoute default/a: spec.rules[0].backendRefs[0].name: the field is missing. Add it.",
    ),
    "number for text": (
        HEAD + "spec:\n  rules:\n  - matches:\n    - headers:\n      - name: version\n        value: 2\n",
        "f.yaml:10: HTTPRoute default/a: spec.rules[0].matches[0].headers[0].value: 2 is not text. Put the value in quotes.",
    ),
    "text for a number": (
        HEAD + "spec:\n  rules:\n  - backendRefs:\n    - name: s\n      port: '80'\n",
        "f.yaml:9: HTTPRoute default/a: spec.rules[0].backendRefs[0].port: '80' is not a whole number. Write a number without quotes.",
    ),
    "map for a list": (
        HEAD + "spec:\n  rules:\n    backendRefs: []\n",
        "f.yaml:6: HTTPRoute default/a: spec.rules: a map is not a list. Write a list: an entry a line, each beginning with a hyphen.",
    ),
    "list for a map": (
        HEAD + "spec: []\n",
        "f.yaml:5: HTTPRoute default/a: spec: a list is not a map. Write fields below it, each with a name, a colon and a value.",
    ),
    "value of no enumeration": (
        HEAD + "spec:\n  rules:\n  - matches:\n    - path: {type: Prefix}\n",
        "f.yaml:8: HTTPRoute default/a: spec.rules[0].matches[0].path.type: 'Prefix' is not one of"
        " 'Exact', 'PathPrefix' or 'RegularExpression'. Write one of these values.",
    ),
    "out of range": (
        HEAD + "spec:\n  rules:\n  - backendRefs:\n    - {name: s, port: 70000}\n",
        "f.yaml:8: HTTPRoute default/a: spec.rules[0].backendRefs[0].port: 70000 is greater than 65535. Write a number of at most 65535.",
    ),
    "CEL rule": (
        HEAD + "spec:\n  rules:\n  - matches:\n    - path:\n        value: /a//b\n",
        "f.yaml:9: HTTPRoute default/a: spec.rules[0].matches[0].path.value: a path of type PathPrefix must not contain '//': '/a//b'."
        " Write the path in its normal form, or use RegularExpression.",
    ),
    "no name": (
        "apiVersion: v1\nkind: Namespace\nmetadata: {}\n",
        "f.yaml:3: Namespace ?: metadata.name: the field is missing. Add it.",
    ),
    "entry of a list": (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: A}\n- 3\n",
        "f.yaml:6: Namespace A: metadata.name: 'A' does not have the form"
        " ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$. Correct the value; mind upper case, dots and hyphens.",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_input_names_its_place_and_remedy(tmp_path: Path, kind: str) -> None:
    """File, line, object, field, what is wrong, and what to do; other files are unharmed."""
    text, expected = BAD[kind]
    (tmp_path / "good.yaml").write_text(route("good"))
    assert problems(tmp_path, f=text)[0] == expected
    assert [put.name for put in FileSource([tmp_path]).read().puts] == ["good"]


def test_a_secret_is_never_repeated_in_a_problem(tmp_path: Path) -> None:
    """What is wrong with a Secret is said without its values."""
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: 'hidden!'}\nstringData: {b: 4711}\ntype: [4712]\n"
    said = problems(tmp_path, f=text)
    assert len(said) == 3
    assert not [line for line in said if "hidden" in line or "4711" in line or "4712" in line]


def test_two_objects_of_one_name(tmp_path: Path) -> None:
    """The first by path stays, the other is named with both places."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text(documents(namespace("n"), route("r", "/first")))
    said = problems(tmp_path, b=route("r", "/second"))
    assert said == [
        "b.yaml:1: HTTPRoute default/r: metadata.name: an object of this kind and name is already at a/x.yaml:7 and stays."
        " Remove or rename one of the two."
    ]


def test_lists_are_unfolded(tmp_path: Path) -> None:
    """Objects in a List of kubectl, or in the list of a kind whose items do not repeat it, are objects like others."""
    item = "- apiVersion: v1\n  kind: Namespace\n  metadata: {name: n}\n"
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: List\nitems:\n" + item)
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: m}\n- metadata: {name: o}\n")
    source = FileSource([tmp_path])
    change = source.read()
    assert change.problems == ()
    assert [put.key for put in change.puts] == [("Namespace", "", "n"), ("ConfigMap", "default", "m"), ("ConfigMap", "default", "o")]
    assert source.place(("ConfigMap", "default", "o")) == Place(f"{tmp_path}/b.yaml", 5)
    assert source.place(("ConfigMap", "default", "o"), ("metadata", "name")) == Place(f"{tmp_path}/b.yaml", 5)


def test_namespaces_are_filled_in(tmp_path: Path) -> None:
    """Objects of namespaced kinds get the namespace of the source, objects of the whole cluster lose theirs."""
    misplaced = namespace("n").replace("name: n", "name: n\n  namespace: x")
    (tmp_path / "a.yaml").write_text(documents(route("r"), route("s", namespace="other"), misplaced))
    change = FileSource([tmp_path], namespace="mine").read()
    assert [put.key for put in change.puts] == [("HTTPRoute", "mine", "r"), ("HTTPRoute", "other", "s"), ("Namespace", "", "n")]
    assert [put.metadata.namespace for put in change.puts] == ["mine", "other", None]


def test_a_second_reading_gives_the_difference(tmp_path: Path) -> None:
    """Unchanged objects are not told again; files that are gone remove theirs."""
    (tmp_path / "a.yaml").write_text(documents(route("r"), route("s")))
    (tmp_path / "b.yaml").write_text(route("t"))
    source = FileSource([tmp_path])
    assert len(source.read().puts) == 3
    again = source.read()
    assert (again.puts, again.removes, again.problems) == ((), (), ())
    (tmp_path / "a.yaml").write_text(documents(route("r"), route("s", "/2")))
    (tmp_path / "b.yaml").unlink()
    change = source.read()
    assert [(put.name, put.metadata.generation) for put in change.puts] == [("s", 2)]
    assert change.removes == (("HTTPRoute", "default", "t"),)


def test_a_file_that_breaks_keeps_what_it_held(tmp_path: Path) -> None:
    """Later, an object that cannot be read keeps its last readable version; mended, it changes at once."""
    file = tmp_path / "a.yaml"
    file.write_text(documents(route("r"), route("s")))
    source = FileSource([tmp_path])
    source.read()
    file.write_text("{" + file.read_text())
    broken = source.read()
    assert (broken.puts, broken.removes) == ((), ())
    (problem,) = broken.problems
    assert problem.remedy.endswith("Until then its last readable version stays in use.")
    file.write_text(route("r", "/2"))
    mended = source.read()
    assert ([put.key for put in mended.puts], mended.removes, mended.problems) == (
        [("HTTPRoute", "default", "r")],
        (("HTTPRoute", "default", "s"),),
        (),
    )


def test_places(tmp_path: Path) -> None:
    """An object's place is its file and line, a field's the line that the file gives it now."""
    file = tmp_path / "a.yaml"
    file.write_text(documents(route("r"), route("s")))
    source = FileSource([tmp_path])
    source.read()
    key = ("HTTPRoute", "default", "s")
    assert str(source.place(key)) == f"{file}:11"
    assert source.place(key, ("spec", "rules", 0, "matches", 0, "path", "value")) == Place(str(file), 19)
    assert source.place(("HTTPRoute", "default", "t")) is None
    file.write_text("{")
    assert source.place(key, ("spec",)) == Place(str(file), 11)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/proc/self/mem",
            "/proc/self/mem: the file cannot be read: Input/output error. Look whether the file system that holds it works.",
        ),
        ("/dev/null", "/dev/null: this is not a regular file. Name a file or folder."),
    ],
)
def test_what_cannot_be_read_as_a_file(path: str, message: str) -> None:
    """A file that gives an error, and what is no file, are problems and end nothing."""
    assert [str(problem) for problem in FileSource([Path(path)]).read().problems] == [message]


def test_a_pipe_does_not_stop_the_reading(tmp_path: Path) -> None:
    """A pipe among the files would block whoever opens it; it is not opened for long and is a problem."""
    os.mkfifo(tmp_path / "a.yaml")
    (problem,) = FileSource([tmp_path]).read().problems
    assert problem.message == "this is not a regular file"


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    """The line of the first wrong byte is named."""
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xe4\n")
    (problem,) = FileSource([tmp_path]).read().problems
    assert str(problem) == f"{tmp_path}/a.yaml:2: the text is not UTF-8. Save the file in UTF-8."


def test_what_cannot_be_read_is_known_by_what_it_may_be(tmp_path: Path) -> None:
    """A broken object of a known kind and name is that one only; a file or path that cannot be read may be anything."""
    (tmp_path / "broken.yaml").write_text(route("broken").replace("rules:", "rulez:"))
    (tmp_path / "good.yaml").write_text(route("good"))
    source = FileSource([tmp_path])
    source.read()
    ((subject, problem),) = source.unread()
    assert subject.may_be(("HTTPRoute", "default", "broken"))
    assert not subject.may_be(("HTTPRoute", "default", "other"))
    assert problem.file == str(tmp_path / "broken.yaml")
    (tmp_path / "broken.yaml").write_bytes(b"\xff")
    source = FileSource([tmp_path, tmp_path / "missing"])
    source.read()
    assert [subject.may_be(("Service", "", "any")) for subject, _ in source.unread()] == [True, True]
    assert FileSource([tmp_path / "good.yaml"]).unread() == []
