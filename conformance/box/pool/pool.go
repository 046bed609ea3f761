// Package pool decides which Service of type LoadBalancer has which address. It is pure: it is handed what
// is known of all Services and answers what each of them shall have.
package pool

import "net/netip"

// Service is what the decision needs of one.
type Service struct {
	ID string
	// Wanted is spec.loadBalancerIP: empty, an address, or something that is none.
	Wanted string
	// Current is the address in its status, if any. It counts only the first time that a Service is seen
	// (the process may have been started again), since later it may be older than the decision.
	Current string
}

// Pool holds each Service's address. The zero value has no addresses; use New.
type Pool struct {
	prefix netip.Prefix
	last   netip.Addr
	held   map[string]netip.Addr
	seen   map[string]bool
}

// New gives a pool of all addresses of the prefix but its first one.
func New(prefix netip.Prefix) *Pool {
	prefix = prefix.Masked()
	return &Pool{prefix: prefix, last: prefix.Addr(), held: map[string]netip.Addr{}, seen: map[string]bool{}}
}

// Assign is given all Services that want an address, the oldest first, and gives the address of each by its ID;
// one that is left out stays pending. A Service has the address that it asks for or none: none while another has
// it, and never one outside the pool. One that asks for none gets any free one and keeps what it has. What a
// Service no longer has is free for the others at once.
func (p *Pool) Assign(services []Service) map[string]netip.Addr {
	p.forget(services)
	taken := map[netip.Addr]bool{}
	for _, s := range services {
		if a := p.kept(s); a.IsValid() && !taken[a] {
			p.held[s.ID], taken[a] = a, true
		} else {
			delete(p.held, s.ID)
		}
	}
	for _, s := range services {
		if _, has := p.held[s.ID]; has {
			continue
		}
		if a := p.chosen(s, taken); a.IsValid() {
			p.held[s.ID], taken[a] = a, true
		}
	}
	return p.held
}

// forget drops the Services that are gone.
func (p *Pool) forget(services []Service) {
	alive := map[string]bool{}
	for _, s := range services {
		alive[s.ID] = true
	}
	for id := range p.seen {
		if !alive[id] {
			delete(p.seen, id)
			delete(p.held, id)
		}
	}
}

// kept gives the address that a Service has already and may keep.
func (p *Pool) kept(s Service) netip.Addr {
	has := p.held[s.ID]
	if !p.seen[s.ID] {
		p.seen[s.ID] = true
		has = p.inPool(s.Current)
	}
	if s.Wanted != "" && p.inPool(s.Wanted) != has {
		return netip.Addr{}
	}
	return has
}

// chosen gives a free address for a Service that has none: the one it asks for, or the next.
func (p *Pool) chosen(s Service, taken map[netip.Addr]bool) netip.Addr {
	if s.Wanted == "" {
		return p.next(taken)
	}
	if wanted := p.inPool(s.Wanted); !taken[wanted] {
		return wanted
	}
	return netip.Addr{}
}

// next gives the free address after the last one given, so that one is used again as late as possible.
func (p *Pool) next(taken map[netip.Addr]bool) netip.Addr {
	for a := p.after(p.last); ; a = p.after(a) {
		if !taken[a] && a != p.prefix.Addr() {
			p.last = a
			return a
		}
		if a == p.last {
			return netip.Addr{}
		}
	}
}

// after gives the following address, and the pool's first one after its last.
func (p *Pool) after(a netip.Addr) netip.Addr {
	if a = a.Next(); p.prefix.Contains(a) {
		return a
	}
	return p.prefix.Addr()
}

func (p *Pool) inPool(text string) netip.Addr {
	if a, err := netip.ParseAddr(text); err == nil && p.prefix.Contains(a) && a != p.prefix.Addr() {
		return a
	}
	return netip.Addr{}
}
