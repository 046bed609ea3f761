package cri

import (
	"errors"
	"net/netip"
)

// podAddresses gives out the addresses of Pods: each one that was never used first, then the one that has been
// free for longest, so that a late packet for a Pod that is gone reaches no other.
type podAddresses struct {
	prefix netip.Prefix
	last   netip.Addr
	free   []netip.Addr
}

// newPodAddresses leaves out the first two addresses of the prefix.
func newPodAddresses(prefix netip.Prefix) podAddresses {
	return podAddresses{prefix: prefix, last: prefix.Addr().Next()}
}

func (p *podAddresses) take() (string, error) {
	if next := p.last.Next(); p.prefix.Contains(next) {
		p.last = next
		return next.String(), nil
	}
	if len(p.free) == 0 {
		return "", errors.New("no Pod address is free in " + p.prefix.String())
	}
	a := p.free[0]
	p.free = p.free[1:]
	return a.String(), nil
}

func (p *podAddresses) giveBack(address string) {
	p.free = append(p.free, netip.MustParseAddr(address))
}
