package pool

import (
	"maps"
	"net/netip"
	"testing"
)

// expect runs one round and compares all addresses.
func expect(t *testing.T, p *Pool, want map[string]string, services ...Service) {
	t.Helper()
	got := map[string]string{}
	for id, a := range p.Assign(services) {
		got[id] = a.String()
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func small() *Pool { return New(netip.MustParsePrefix("192.0.2.0/29")) }

func TestEachServiceKeepsAnAddressOfItsOwn(t *testing.T) {
	p := small()
	a, b := Service{ID: "a"}, Service{ID: "b"}
	expect(t, p, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, a, b)
	expect(t, p, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, b, a)
}

func TestTheWantedAddressFollowsItsChange(t *testing.T) {
	p := small()
	expect(t, p, map[string]string{"a": "192.0.2.5"}, Service{ID: "a", Wanted: "192.0.2.5"})
	expect(t, p, map[string]string{"a": "192.0.2.6"}, Service{ID: "a", Wanted: "192.0.2.6", Current: "192.0.2.5"})
	expect(t, p, map[string]string{"a": "192.0.2.6"}, Service{ID: "a", Current: "192.0.2.6"}) // asks no more: keeps it
}

func TestAnAddressOutsideThePoolIsNeverGiven(t *testing.T) {
	p := small()
	for _, wanted := range []string{"198.51.100.1", "192.0.2.0", "192.0.2.8", "::1", "nonsense"} {
		expect(t, p, map[string]string{}, Service{ID: "a", Wanted: wanted})
	}
	expect(t, p, map[string]string{"a": "192.0.2.1"}, Service{ID: "a"})
	expect(t, p, map[string]string{}, Service{ID: "a", Wanted: "198.51.100.1", Current: "192.0.2.1"}) // gives up what it had
}

func TestATakenAddressIsWaitedFor(t *testing.T) {
	p := small()
	first, second := Service{ID: "first"}, Service{ID: "second", Wanted: "192.0.2.1"}
	expect(t, p, map[string]string{"first": "192.0.2.1"}, first, second)
	expect(t, p, map[string]string{"second": "192.0.2.1"}, second) // the first one is gone
}

func TestAReleasedAddressIsGivenInTheSameRound(t *testing.T) {
	p := small()
	a, b := Service{ID: "a", Wanted: "192.0.2.1"}, Service{ID: "b", Wanted: "192.0.2.2"}
	expect(t, p, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}, a, b)
	a.Wanted, b.Wanted = b.Wanted, a.Wanted
	expect(t, p, map[string]string{"a": "192.0.2.2", "b": "192.0.2.1"}, a, b)
}

func TestStatusesOfAnEarlierProcessAreTakenOver(t *testing.T) {
	p := small()
	old, other := Service{ID: "old", Current: "192.0.2.1"}, Service{ID: "other", Current: "203.0.113.9"}
	expect(t, p, map[string]string{"old": "192.0.2.1", "other": "192.0.2.2"}, other, old)
}

func TestAStaleStatusDoesNotBringAnAddressBack(t *testing.T) {
	p := small()
	expect(t, p, map[string]string{"a": "192.0.2.1"}, Service{ID: "a"})
	expect(t, p, map[string]string{}, Service{ID: "a", Wanted: "198.51.100.1", Current: "192.0.2.1"})
	expect(t, p, map[string]string{"a": "192.0.2.2"}, Service{ID: "a", Current: "192.0.2.1"})
}

func TestAnEmptyPoolLeavesServicesPending(t *testing.T) {
	p := New(netip.MustParsePrefix("192.0.2.0/30"))
	all := []Service{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}}
	expect(t, p, map[string]string{"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3"}, all...)
	expect(t, p, map[string]string{"b": "192.0.2.2", "c": "192.0.2.3", "d": "192.0.2.1"}, all[1:]...)
}
